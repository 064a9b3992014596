"""`levelfield models`: JSON that a program reads, explanations, and bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.cli.output import console
from levelfield.errors import UserError
from levelfield.known_models import built_in
from levelfield.models import list_models
from levelfield.units import short


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_one_model_as_json() -> None:
    (row,) = json.loads(_run("outgrid_7m", "--classes", "100", "--json"))["models"]
    assert row["params"] == 7_518_102
    assert row["macs"] == pytest.approx(441.9e6, rel=0.005)
    assert (row["num_classes"], row["image_size"], row["family"]) == (100, 32, "OutGridViT")
    assert row["published"]["alias"] == "OutGrid"


def test_a_pattern_lists_all_its_matches() -> None:
    rows = json.loads(_run("rexnet_*", "vit_mini", "--json"))["models"]
    assert [row["name"] for row in rows] == [*list_models("rexnet_*"), "vit_mini"]


def test_the_table_names_every_match() -> None:
    table = _run("rexnet_tiny*", "--classes", "10")
    assert "1,944,440" in table and "697,226" in table


def test_eighty_columns_cut_no_number_and_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 80)
    lines = _run().splitlines()
    assert max(map(len, lines)) <= 80 and not any("…" in line for line in lines)
    assert lines[0].split() == ["model", "family", "classes", "px", "parameters", "MACs"]
    for name, known in built_in().items():
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert f"{known.params:,}" in line.split() and line.endswith(f" {short(known.macs)}")


def test_explain_says_what_was_changed_and_why() -> None:
    told = json.loads(_run("timm:swin_tiny_patch4_window7_224", "--image-size", "32", "--explain", "--json"))[
        "explained"
    ]
    changes = {change["what"]: change["why"] for change in told["changes"]}
    assert "16x16, 8x8, 4x4, 2x2" in changes["window 7 to 4"]
    assert "16x16 tokens at 32 px" in changes["patch_embed.proj: patch 4 to 2"]
    assert [stage["output"].split()[0] for stage in told["maps"]] == ["16x16", "8x8", "4x4", "2x2"]
    assert "window 7 to 4" in _run("timm:swin_tiny_patch4_window7_224", "--image-size", "32", "--explain")


def test_a_plugin_is_listed(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\nfrom levelfield.models import register_model\n"
        "@register_model('listed_plugin', num_classes=4, image_size=8)\n"
        "def build(num_classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, num_classes))\n"
    )
    (row,) = json.loads(_run("listed_plugin", "--json", "--plugin", str(file)))["models"]
    assert (row["params"], row["macs"], row["family"]) == (193 * 4, 192 * 4, "own")


def test_a_model_that_cannot_be_counted_leaves_the_list_whole(tmp_path: Path) -> None:
    """It failed once in the suite: a plugin's network that does not fit its own image size ended the command."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\nfrom levelfield.models import register_model\n"
        "@register_model('listed_wrong', num_classes=4, image_size=8)\n"
        "def build(num_classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(12, num_classes))\n"
        "@register_model('listed_unbuilt', num_classes=4, image_size=8)\n"
        "def unbuilt(num_classes):\n    raise ZeroDivisionError\n"
    )
    shown = _run("listed_*", "vit_mini", "--plugin", str(file))
    assert "listed_wrong: not counted at 8 px: RuntimeError" in shown
    assert f"listed_unbuilt: plugin {file} failed at line 8, when model 'listed_unbuilt' was built: Zero" in shown
    rows = {row["name"]: row for row in json.loads(_run("listed_*", "vit_mini", "--json"))["models"]}
    assert rows["listed_wrong"]["macs"] is None and rows["vit_mini"]["macs"] == built_in()["vit_mini"].macs


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["outgrid_7n"], "did you mean 'outgrid_7m'"),
        (["outgird*"], "unknown model pattern 'outgird\\*'"),
        (["outgrid_7m", "vit_mini", "--explain"], "takes one model"),
    ],
)
def test_bad_input_is_a_user_error(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(app, ["models", *arguments], catch_exceptions=False)
