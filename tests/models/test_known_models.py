"""What is known of models without torch is what the networks, timm and the registry say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
from built_in import RECORD, facts
from timm.models import _registry as timm_registry

from levelfield.errors import UserError
from levelfield.known_models import built_in, check_name, is_known, known_model, known_names, matching, timm_names
from levelfield.models import list_models, load_plugin, model_info

REGISTRY = [name for name in list_models() if model_info(name).plugin is None]


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))


def test_the_record_names_the_built_in_models_and_no_other(record: dict[str, Any]) -> None:
    assert sorted(record) == REGISTRY, "write it again: python tests/models/built_in.py"


@pytest.mark.parametrize("name", REGISTRY)
def test_the_record_is_what_is_counted_on_the_network(record: dict[str, Any], name: str) -> None:
    assert record[name] == json.loads(json.dumps(facts(name))), "write it again: python tests/models/built_in.py"
    assert built_in()[name].info == model_info(name)


def test_timm_has_the_names_that_its_source_files_say() -> None:
    assert list(timm_names()) == timm.list_models()
    assert len(timm_names()) > 1000
    renamed = set(timm_registry._deprecated_models)
    assert len(renamed) > 100 and all(is_known(f"timm:{name}") for name in renamed)
    assert is_known("timm:resnet50.a1_in1k") and not is_known("timm:resnet51")


@pytest.mark.parametrize("pattern", ["timm:resnet*", "timm:*vit*", "timm:", "timm:resnet18", "timm:nothing*"])
def test_patterns_match_what_timm_lists(pattern: str) -> None:
    assert matching(pattern) == ["timm:" + name for name in timm.list_models(pattern.removeprefix("timm:"))]


def test_a_plugin_is_known_once_it_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\nfrom levelfield.models import register_model\n"
        "@register_model('known_plugin', num_classes=4, image_size=8, published={'note': 'mine'})\n"
        "def build(num_classes):\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, num_classes))\n"
    )
    with pytest.raises(UserError, match="unknown model 'known_plugin'"):
        check_name("known_plugin")
    load_plugin(file)
    check_name("known_plugin")
    info = known_model("known_plugin")
    assert info is not None and info.note == "mine" and "known_plugin" in known_names()


@pytest.mark.parametrize(
    ("name", "message"),
    [("resnet_nanp", "did you mean 'resnet_nano'"), ("timm:resnet19", "unknown timm model 'resnet19'.*'resnet18'")],
)
def test_a_misspelt_name_is_answered_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_name(name)


def test_what_a_plugin_prints_leaves_stdout_to_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = tmp_path / "loud.py"
    plugin.write_text("print('hello from the plugin')\n")
    load_plugin(plugin)
    said = capsys.readouterr()
    assert said.out == "" and "hello from the plugin" in said.err
