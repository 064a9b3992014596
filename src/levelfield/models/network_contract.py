"""What every built-in network honours, in timm's own names.

A model maps (B, 3, H, W) float to (B, classes). The built-in ones also have `forward_features -> (B, C, h, w)` or
`(B, N, C)`, `forward_head`, `reset_classifier(n)`, `no_weight_decay()`, `set_grad_checkpointing()` and `stages()`. A
user's own model may have none of these.
"""

from __future__ import annotations

from torch import Tensor, nn

from levelfield.models.gradient_checkpointing import checkpoint_gradients


class Network(nn.Module):
    """Base of the built-in families: a stem, levels of blocks, a pool, dropout and the classifier, `head`.

    A family that is built otherwise says so: `pool` of another kind, levels with something between them, other stages.
    """

    stem: nn.Module
    levels: nn.ModuleList
    dropout: nn.Module
    head: nn.Module
    num_features: int
    num_classes: int

    def end_in_linear(self, num_features: int, num_classes: int, dropout: float) -> None:
        """Dropout of the pooled features and a linear classifier: made last, so that its weights are drawn last."""
        self.num_features = num_features
        self.num_classes = num_classes
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(num_features, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to the last map (B, C, h, w), or tokens (B, N, C), before pooling."""
        x = self.stem(x)
        for level in self.levels:
            x = level(x)
        return x

    def pool(self, x: Tensor) -> Tensor:
        """The output of `forward_features` to one vector an image, (B, C): the mean over the map."""
        return x.mean((2, 3))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The output of `forward_features` to logits (B, classes); with `pre_logits` the pooled features (B, C)."""
        x = self.dropout(self.pool(x))
        return x if pre_logits else self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a fresh linear layer with `num_classes` outputs."""
        device = next(self.parameters()).device
        self.num_classes = num_classes
        self.head = nn.Linear(self.num_features, num_classes, device=device)

    def get_classifier(self) -> nn.Module:
        return self.head

    def no_weight_decay(self) -> set[str]:
        """Names of parameters that are neither biases nor norms and yet must not decay."""
        return set()

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Keep the inputs of blocks only, in training, and compute them again in the backward pass."""
        checkpoint_gradients(self, enable)

    def stages(self) -> dict[str, nn.Module]:
        """Dotted name to module, in the order of the forward pass: the stem first, the classifier left out."""
        return {"stem": self.stem} | {f"levels.{i}": level for i, level in enumerate(self.levels)}
