"""What an identity hangs on: every key that is used and differs from its default, and nothing that may be added."""

from __future__ import annotations

import ast
import importlib
import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from defaults import RECORD, present_defaults, science_values
from keys import NEVER, USED

from levelfield.spec import SCIENCE_VERSION, RunSpec
from levelfield.spec.overrides import apply
from levelfield.spec.recipe import load_recipe
from levelfield.spec.recipe_files import list_recipes

REPOSITORY = Path(__file__).parents[2]
COMMITTED = sorted((REPOSITORY / "results").rglob("run.json"))
RECORDED = json.loads(RECORD.read_text())

BASE: dict[str, Any] = {
    "model": {"name": "vit_mini", "num_classes": 10, "image_size": 16},
    "data": {"name": "digits", "image_size": 16, "validation": 0.0, "checksum": "c0ffee"},
    "recipe": {"precision": "fp32"},
    "budget": {"epochs": 2},
}


def parse(*assignments: str) -> RunSpec:
    return RunSpec.parse(apply(BASE, assignments), "run")


def test_no_default_has_changed_since_it_was_recorded() -> None:
    """Fails when a default changes or a key goes, passes when a key is added."""
    assert RECORDED["science_version"] == SCIENCE_VERSION
    present = present_defaults()
    changed = {
        key: (was, present.get(key, "gone")) for key, was in RECORDED["defaults"].items() if present.get(key) != was
    }
    assert not changed, f"{changed}: two sciences would have one identity; keep the default, or raise SCIENCE_VERSION"


def test_every_default_is_recorded() -> None:
    missing = sorted(set(present_defaults()) - set(RECORDED["defaults"]))
    assert not missing, f"{missing} are new: run `python tests/spec/defaults.py`, which adds them to the record"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_committed_results_have_the_identity_of_their_own_configuration(path: Path) -> None:
    description = json.loads(path.read_text())
    identity = RunSpec.parse(description["run"], str(path)).identity(description.get("revisions", []))
    assert identity == description["identity"]
    assert identity == json.loads(path.with_name("result.json").read_text())["identity"]
    assert path.parent.name == f"seed{description['run']['seed']}-{identity[:8]}"


def test_places_in_committed_results_lead_to_runs() -> None:
    """A study names the folders of its runs, and a run the folder of the weights that it started from."""
    assert len(COMMITTED) > 100
    for study in sorted((REPOSITORY / "results").glob("*/*/study.json")):
        named = [study.parent / run for row in json.loads(study.read_text())["rows"] for run in row["runs"]]
        assert named and all((run / "run.json").is_file() for run in named)
        for run in named:
            if start := json.loads((run / "run.json").read_text())["run"]["model"]["start_from"]:
                assert (study.parent / start["source"] / "run.json").is_file()


SPECS = [
    *(json.loads(path.read_text())["run"] for path in COMMITTED[::7]),
    *(apply(BASE, [f"recipe={json.dumps(load_recipe(n).recipe.model_dump(mode='json'))}"]) for n in list_recipes()),
    apply(BASE, ["recipe.augment={crop: {name: random_resized_crop}, policy: {name: randaugment}, erasing: {}}"]),
    apply(BASE, ["recipe.augment={color_jitter: {hue: 0.1}, policy: {name: trivial_augment_wide}}"]),
    apply(BASE, ["recipe.schedule={name: cosine_annealing}"]),
    apply(BASE, ["recipe.phases=[{at_epoch: 1, optimizer: {}}]"]),
    apply(BASE, ["recipe.prune={}"]),
    apply(BASE, ["recipe.quantize_aware={}"]),
    apply(BASE, ["recipe.prune_channels={}", "model.channels={head: {inputs: 3}}"]),
    apply(BASE, ["recipe.distil={teacher: a, teacher_identity: b, teacher_digest: c}"]),
    apply(BASE, ["plugins=[{path: my.py, digest: '1'}]", "model.start_from={source: a, digest: b}"]),
]
for _spec in SPECS:
    _spec["recipe"]["precision"] = "fp32"


FROM_BELOW = (
    "schedule",
    "augment",
    "budget",
    "recipe",
    "run_parts",
    "used_keys",
    "science_revisions",
    "identity",
    "run",
)
"""The modules that a RunSpec is made of, each after those that it imports."""


def with_added_key(class_name: str, monkeypatch: pytest.MonkeyPatch) -> type[RunSpec]:
    """RunSpec of the modules as they would be if somebody gave one of their classes another key."""
    for old in (importlib.import_module(f"levelfield.spec.{name}") for name in FROM_BELOW):
        assert old.__file__ is not None
        tree = ast.parse(Path(old.__file__).read_text())
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name == class_name:
                node.body.extend(ast.parse("added_later: float = 0.25").body)
        module = types.ModuleType(old.__name__)
        monkeypatch.setitem(sys.modules, old.__name__, module)
        exec(compile(ast.fix_missing_locations(tree), old.__file__, "exec"), vars(module))
    kind: type[RunSpec] = sys.modules["levelfield.spec.run"].RunSpec  # type: ignore[attr-defined]
    return kind


@pytest.mark.parametrize("class_name", [kind.__name__ for kind in science_values()] + ["Execution"])
def test_a_key_added_with_a_default_changes_no_identity(class_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [RunSpec.parse(values, "run").identity() for values in SPECS]
    later = with_added_key(class_name, monkeypatch)
    runs = [later.parse(values, "run") for values in SPECS]
    assert any("added_later" in run.model_dump_json() for run in runs), f"no run here has a {class_name}"
    assert [run.identity() for run in runs] == before


KINDS = [
    *(f"recipe.schedule={{name: {name}}}" for name in (
        "cosine", "onecycle", "step", "multistep", "linear", "constant", "cosine_annealing"
    )),
    *(f"recipe.augment.crop={{name: {name}}}" for name in ("pad_crop", "random_crop", "random_resized_crop")),
    *(f"recipe.augment.policy={{name: {name}}}" for name in ("randaugment", "trivial_augment_wide")),
]  # fmt: skip


def test_kinds_that_differ_in_nothing_but_their_name_differ() -> None:
    """The schedule's default is cosine; every other kind, left at its own defaults, is another run."""
    identities = {assignment: parse(assignment).identity() for assignment in KINDS}
    assert identities["recipe.schedule={name: cosine}"] == parse().identity()
    assert len({*identities.values()}) == len(KINDS)
    for plain in ("crop", "policy"):  # none is not some
        assert parse(f"recipe.augment.{plain}=null").identity() == parse().identity()


def test_every_key_is_known_to_count_or_not_to() -> None:
    keys = set(present_defaults())
    assert keys - set(USED) - set(NEVER) == set(), "say in USED how the new key makes another run"
    assert (set(USED) | set(NEVER)) - keys == set()


@pytest.mark.parametrize("key", USED)
def test_every_key_that_is_used_changes_the_identity(key: str) -> None:
    context, change = USED[key]
    assert parse(*context, change).identity() != parse(*context).identity()


def test_equal_values_in_other_forms_are_one_run() -> None:
    """Whole numbers for floats, and values that were copied past their validation."""
    spec = parse()
    copied = spec.model_copy(update={"budget": spec.budget.model_copy(update={"epochs": 2})})
    assert copied.identity() == parse("budget.epochs=2.0").identity() == spec.identity()


def test_local_batchnorm_counts_the_processes_and_global_does_not() -> None:
    local = {n: parse("recipe.batchnorm=local", f"execution.processes={n}").identity() for n in (1, 2, 4)}
    assert len(set(local.values())) == 3
    assert local[1] == parse("recipe.batchnorm=local").identity()
    assert parse("execution.processes=2").identity() == parse().identity()
