"""A small Vision Transformer (arXiv 2010.11929) for CPU studies: pre-norm, learned positions, mean-pooled tokens.

Input (B, 3, H, W), H = W = image_size, divisible by the patch. Patch embedding, learned position table (1, N, C),
blocks of x += DP(MHSA(LN x)); x += DP(MLP(LN x)) with an MLP of twice the width, LayerNorm, mean over tokens, linear
classifier. Truncated normal initialisation (0.02), zero biases. `vit_mini`: 311,146 parameters at 10 classes.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from levelfield.errors import UserError
from levelfield.models.kernels.self_attention import self_attention
from levelfield.models.layers import MLP, TokenLinear, TokenNorm, lowered_to, truncated_normal
from levelfield.models.network_contract import Network
from levelfield.models.registry import register_model
from levelfield.models.size_rule import SIZE_OPTIONS, deeper, wider
from levelfield.models.stochastic_depth import DropPath, DropPathMode, linear_rates


class TransformerBlock(nn.Module):
    """Self-attention and an MLP, each a residual branch on (B, N, C)."""

    def __init__(self, channels: int, heads: int, expansion: int, drop_path: float, mode: DropPathMode) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = TokenNorm(channels)
        self.qkv = TokenLinear(channels, 3 * channels)
        self.projection = TokenLinear(channels, channels)
        self.mlp_norm = TokenNorm(channels)
        self.mlp = MLP(TokenLinear, channels, expansion * channels)
        self.drop_path = DropPath(drop_path, mode)

    def attend(self, x: Tensor) -> Tensor:
        """Multi-head self-attention on (B, N, C)."""
        return self.projection(self_attention(self.qkv(x), self.heads))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attend(self.attention_norm(x)))
        return x + self.drop_path(self.mlp(self.mlp_norm(x)))


class VisionTransformer(Network):
    """The network."""

    def __init__(
        self, num_classes: int, image_size: int, *, width: int, depth: int, heads: int, expansion: int = 2,
        patch: int = 4, drop_path: float = 0.0, drop_path_mode: DropPathMode = "sample", dropout: float = 0.0,
        width_factor: float = 1.0, depth_factor: float = 1.0,
    ) -> None:  # fmt: skip
        super().__init__()
        width, (depth,) = wider(width, width_factor, heads), deeper([depth], depth_factor)
        if image_size % patch:
            raise UserError(f"image_size {image_size} is not divisible by the patch size {patch}; use a multiple of it")
        self.patch_embed = nn.Conv2d(3, width, patch, stride=patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, (image_size // patch) ** 2, width))
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, expansion, rate, drop_path_mode) for rate in linear_rates(drop_path, depth)
        )
        self.norm = TokenNorm(width)
        self.end_in_linear(width, num_classes, dropout)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        truncated_normal(self)

    def forward_features(self, x: Tensor) -> Tensor:
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        if x.shape[1] != self.pos_embed.shape[1]:
            raise UserError(
                f"this network has positions for {self.pos_embed.shape[1]} patches and got {x.shape[1]}; "
                "create it with the images' image_size"
            )
        x = x + lowered_to(x, self.pos_embed)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def pool(self, x: Tensor) -> Tensor:
        return x.mean(1)

    def no_weight_decay(self) -> set[str]:
        return {"pos_embed"}

    def stages(self) -> dict[str, nn.Module]:
        return {"patch_embed": self.patch_embed} | {f"blocks.{i}": block for i, block in enumerate(self.blocks)}


register_model("vit_mini", family="ViT", options=("drop_path", "drop_path_mode", "dropout", "patch", *SIZE_OPTIONS))(
    partial(VisionTransformer, width=96, depth=4, heads=3)
)
