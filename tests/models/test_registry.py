"""Names, settings, options, a user's own models: the way into the models room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from levelfield.errors import UserError
from levelfield.models import accepts, create_model, list_models, load_plugin, model_info, on_meta, register_model

PLUGIN = """
import torch
from torch import nn
from torch import nn
from levelfield.models import register_model

@register_model("{name}")
class MyNet(nn.Module):
    def __init__(self, num_classes=10, width=4):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.net(x))
"""


def test_patterns_match_registered_and_timm_names() -> None:
    assert "outgrid_7m" in list_models("outgrid_*")
    assert list_models("nothing_like_this") == []
    assert "timm:resnet34" in list_models("timm:resnet3*")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("outgrid_7n", {}, "did you mean 'outgrid_7m'"),
        ("timm:resnet3", {}, "did you mean 'resnet34'"),
        ("outgrid_nano", {"drop_pth": 0.1}, "did you mean 'drop_path'"),
        ("outgrid_nano", {"num_classes": 0}, "num_classes must be a whole number of at least 1, got 0"),
        ("outgrid_nano", {"num_classes": "3"}, "num_classes must be a whole number of at least 1, got '3'"),
        ("outgrid_7m", {"image_size": 20}, "use a multiple of 16"),
        ("vit_mini", {"image_size": 30}, "not divisible by the patch size 4"),
    ],
)
def test_bad_input_names_the_value_and_the_remedy(name: str, options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create_model(name, **options)  # type: ignore[arg-type]


def test_omitted_setting_is_the_published_one() -> None:
    model = on_meta("outgrid_22m")
    assert model.num_classes == model_info("outgrid_22m").num_classes == 200


def test_a_plugin_registers_once_and_runs(tmp_path: Path) -> None:
    file = tmp_path / "my_models.py"
    file.write_text(PLUGIN.format(name="plugin_net"))
    digest = load_plugin(file)
    assert load_plugin(file) == digest
    model = create_model("plugin_net", num_classes=7, width=6)
    assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 7)
    assert model_info("plugin_net").plugin == file.resolve()
    assert accepts("plugin_net", "width") and not accepts("plugin_net", "drop_path")
    file.write_text(PLUGIN.format(name="plugin_net") + "\n# edited\n")
    assert load_plugin(file) != digest


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\nraise RuntimeError('boom')\n", "at line 2: RuntimeError: boom"),
        ("def broken(:\n", "at line 1: SyntaxError"),
        (PLUGIN.format(name="outgrid_7m"), "'outgrid_7m' is taken"),
        (PLUGIN.format(name="timm:mine"), "kept for timm's models"),
    ],
)
def test_a_faulty_plugin_is_named_with_its_line(tmp_path: Path, source: str, message: str) -> None:
    file = tmp_path / "faulty.py"
    file.write_text(source)
    with pytest.raises(UserError, match=message):
        load_plugin(file)


def test_a_missing_plugin_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        load_plugin(tmp_path / "absent.py")


def test_a_switch_begins_with_what_the_model_is_by_itself() -> None:
    register = register_model("begins_elsewhere", switches={"kernel": (3, 7)})
    with pytest.raises(UserError, match="'kernel' is 7 by default, and its positions begin with 3"):
        register(lambda num_classes=10, kernel=7: nn.Linear(kernel, num_classes))


def test_accepts_follows_the_architecture() -> None:
    assert accepts("outgrid_7m", "drop_path")
    assert accepts("timm:resnet18", "drop_path") and not accepts("timm:vgg11", "drop_path")


def test_what_a_plugin_imports_from_its_own_folder_is_part_of_it(tmp_path: Path) -> None:
    """In processes of their own, as Python imports a module once."""
    beside, package = tmp_path / "beside.py", tmp_path / "parts"
    package.mkdir()
    files = {
        tmp_path / "mine.py": "import sys, pathlib\nsys.path.insert(0, str(pathlib.Path(__file__).parent))\n"
        "import torch, beside\nfrom parts import inner\n",
        beside: "gain = 1.0\n",
        package / "__init__.py": "",
        package / "inner.py": "from . import deep\n",
        package / "deep.py": "depth = 1\n",
        tmp_path / "unrelated.py": "x = 1\n",
    }
    for path, text in files.items():
        path.write_text(text)
    ask = "import sys; from levelfield.models import load_plugin; print(load_plugin(sys.argv[1]))"

    def digest() -> str:
        done = subprocess.run([sys.executable, "-c", ask, str(tmp_path / "mine.py")], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    first = digest()
    (tmp_path / "unrelated.py").write_text("x = 2\n")
    assert digest() == first
    beside.write_text("gain = 9.0\n")
    second = digest()
    (package / "deep.py").write_text("depth = 2\n")
    assert len({first, second, digest()}) == 3


def test_a_changed_file_beside_a_plugin_is_refused_in_the_process_that_imported_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "beside_a_plugin.py").write_text("gain = 1.0\n")
    (tmp_path / "mine.py").write_text("from beside_a_plugin import gain\n")
    assert load_plugin(tmp_path / "mine.py") == load_plugin(tmp_path / "mine.py")
    (tmp_path / "beside_a_plugin.py").write_text("gain = 2.0\n")
    with pytest.raises(UserError, match=r"beside_a_plugin\.py, which it imports, has changed"):
        load_plugin(tmp_path / "mine.py")
