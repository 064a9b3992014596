"""What was asked for is what is trained on: image sizes, and networks with as many outputs as there are classes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_run import run_spec
from torch import nn

import levelfield as lf
from levelfield.errors import UserError
from levelfield.training import prepare


def test_a_models_image_size_is_the_datas_too() -> None:
    """As given to the model alone it used to be recorded, and the stored size trained on."""
    by_data, by_model = (run_spec("data.image_size=null", f"{part}.image_size=20") for part in ("data", "model"))
    first, second = prepare(by_data), prepare(by_model)
    assert first.identity == second.identity
    sizes = {prepared.data.train.read(torch.arange(2)).shape[-1] for prepared in (first, second)}
    assert sizes == {20}


class Outputs(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


@pytest.mark.parametrize("outputs", [7, 9, 11, 1000])
def test_a_network_with_other_outputs_than_classes_is_refused(tmp_path: Path, outputs: int) -> None:
    with pytest.raises(UserError, match=rf"{outputs} outputs.*10 classes"):
        lf.train(model=Outputs(outputs), data="digits", recipe="digits-fast", epochs=1, out=tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()


def test_a_plugins_network_with_other_outputs_than_classes_is_refused(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "import torch\nimport levelfield\n\n"
        "@levelfield.register_model('always_twelve')\n"
        "def build(num_classes=10):\n"
        "    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(12, 12))\n"
    )
    with pytest.raises(UserError, match="12 outputs"):
        prepare(run_spec(f"plugins=[{{path: {plugin}}}]", "model.name=always_twelve")).build_model()
