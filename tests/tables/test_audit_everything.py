"""No key of a run or of its environment can differ in one row without the audit saying so, whatever is added later."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from planted import ENVIRONMENT, audited, edit, write
from pydantic import BaseModel

from levelfield.errors import UserError
from levelfield.runs import RunFolder
from levelfield.spec import RunSpec
from levelfield.spec.values import models_in
from levelfield.tables import Row
from levelfield.tables.audit.checks.settings import NOT_COMPARED
from synthetic_runs import spec_of

FULL: dict[str, Any] = {
    # every optional part is there, so that every key below it can be changed
    "model": {
        "name": "resnet_mini", "num_classes": 10, "image_size": 32, "options": {"width": 16},
        "start_from": {"source": "timm:resnet50.tv_in1k", "digest": "cd" * 32},
    },
    "data": {"name": "cifar10", "image_size": 32, "validation": 0.1, "checksum": "ab" * 32},
    "recipe": {
        "precision": "fp32", "batch_size": 256,
        "optimizer": {"betas": [0.9, 0.95], "lr_factors": {"head.*": 2.0}, "options": {"ns_steps": 5}},
        "phases": [{"at_epoch": 3, "optimizer": {"betas": [0.9, 0.95]}}],
        "augment": {"crop": {"name": "pad_crop"}, "policy": {"name": "randaugment"}, "color_jitter": {}, "erasing": {}},
        "averaging": {"name": "ema"},
        "prune": {"share": 0.3}, "prune_channels": {"share": 0.3}, "quantize_aware": {},
        "distil": {"teacher": "runs/big", "teacher_identity": "ab" * 32, "teacher_digest": "cd" * 32},
    },
    "budget": {"epochs": 12},
    "plugins": [{"path": "mine.py", "digest": "ab" * 32}],
}  # fmt: skip
VALUES: tuple[Any, ...] = (
    *(True, False, 1, 2, 3, 7, 0.25, 0.5, 0.75, 1.5, "other", "cd", "0f" * 32, ["tensorboard"], ["head.*"]),
    *([0.1, 0.2], [0.3, 0.9], [3, 5], {"other": 1}, {"other.*": 0.5}, {"head": {"outputs": 5}}, [], None),
)
"""What a key is changed to: the first of these that it allows and does not have."""


def fields(model: type[BaseModel], value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every key below `value` with its annotation, but for the names of kinds (those are tried as whole kinds)."""
    for name, field in model.model_fields.items():
        here, below, kinds = (*path, name), value[name], models_in(field.annotation)
        if isinstance(below, dict) and kinds:
            yield from fields(_kind(kinds, below), below, here)
        elif isinstance(below, list) and kinds:
            for number, part in enumerate(below):
                yield from fields(kinds[0], part, (*here, number))
        elif len(literals(field.annotation)) != 1:
            yield here, field.annotation


def _kind(kinds: list[type[BaseModel]], value: dict[str, Any]) -> type[BaseModel]:
    named = [
        kind for kind in kinds if "name" in kind.model_fields and kind.model_fields["name"].default == value["name"]
    ]
    return named[0] if len(kinds) > 1 else kinds[0]


def literals(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in literals(part)]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def changed(base: RunSpec, path: tuple[Any, ...], annotation: Any) -> RunSpec:
    """`base` with another value at `path`; where only one of several keys may be given, the others are taken back."""
    for value in (*literals(annotation), *VALUES):
        for alone in (False, True):
            plain = base.model_dump(mode="json")
            parent = at(plain, path[:-1])
            if alone:
                parent.update({key: None for key, old in parent.items() if isinstance(old, (int, float))})
            parent[path[-1]] = value
            try:
                spec = RunSpec.parse(plain)
            except UserError:
                continue
            old, new = (at(one.model_dump(mode="json"), path) for one in (base, spec))
            if old != new and not spec.unresolved():
                return spec
    raise AssertionError(f"the test knows no other value for {'.'.join(map(str, path))}: add one to VALUES")


def kinds() -> Iterator[tuple[str, RunSpec]]:
    """The full run, and one for every other kind that a part of it may be (another schedule, crop, policy)."""
    yield "full", RunSpec.parse(FULL)
    for part, place in (("schedule", ()), ("crop", ("augment",)), ("policy", ("augment",))):
        model: Any = RunSpec.model_fields["recipe"].annotation
        for step in place:
            model = model.model_fields[step].annotation
        for kind in models_in(model.model_fields[part].annotation):
            plain = json.loads(json.dumps(FULL))
            at(plain["recipe"], place)[part] = kind().model_dump(mode="json")  # type: ignore[call-arg]
            yield (
                f"{part} {plain['recipe']['augment'][part]['name'] if place else kind().model_dump()['name']}",
                (RunSpec.parse(plain)),
            )


def every_key() -> list[tuple[str, RunSpec, tuple[Any, ...], Any]]:
    """(name, base, path, annotation) of every key of the full run, and of what other kinds of parts have besides."""
    found = []
    for name, base in kinds():
        part = name.split()[0]
        for path, annotation in fields(RunSpec, base.model_dump(mode="json")):
            if name == "full" or part in path:
                key = ".".join(map(str, path))
                found.append((key if name == "full" else f"{key} of {name}", base, path, annotation))
    return found


KEYS = every_key()
CALM = {
    "seed", "recipe.name", "recipe.description", "recipe.validation", "model.start_from.source",
    "model.start_from.channels",
    "recipe.distil.teacher", "plugins.path", "execution.data_dir",
}  # fmt: skip
"""The only keys in which rows need not agree; each has its reason in NOT_COMPARED."""


@pytest.fixture(scope="module")
def fair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Row]]:
    """For each base, two rows that are alike."""
    made: dict[str, list[Row]] = {}
    root = tmp_path_factory.mktemp("fair")
    for number, (_, base) in enumerate(kinds()):
        runs = [write(root / f"{number}{name}", base) for name in "ab"]
        made[base.model_dump_json()] = [Row(name, runs=(run,)) for name, run in zip("ab", runs, strict=True)]
    return made


def test_every_part_of_a_run_is_walked() -> None:
    names = {name for name, *_ in KEYS}
    for part in (
        "recipe.optimizer.layer_decay", "recipe.phases.0.optimizer.lr", "recipe.augment.policy.magnitude",
        "recipe.schedule.milestones of schedule multistep", "recipe.augment.crop.ratio of crop random_resized_crop",
        "recipe.schedule.warmup.start_factor", "execution.threads", "model.options", "recipe.averaging.decay",
        "budget.steps", "plugins.0.digest",
    ):  # fmt: skip
        assert part in names, part
    assert set(NOT_COMPARED) == CALM and all(NOT_COMPARED.values())
    assert len(KEYS) > 110


def test_no_key_of_a_run_can_differ_unsaid(fair: dict[str, list[Row]], tmp_path: Path) -> None:
    unsaid = []
    for number, (name, base, path, annotation) in enumerate(KEYS):
        key = ".".join(str(part) for part in path if not isinstance(part, int))
        rows = fair[base.model_dump_json()]
        run = rows[0].runs[0]
        odd = tmp_path / str(number)
        spec = changed(base, path, annotation)
        odd.mkdir()
        for file in ("environment.json", "result.json", "predictions.parquet", "metrics.jsonl"):
            (odd / file).symlink_to(run.path / file)
        (odd / "run.json").write_text((run.path / "run.json").read_text())
        edit(odd / "run.json", {"run": spec.model_dump(mode="json"), "identity": spec.identity()})
        report = audited([*rows, Row("odd", runs=(RunFolder(odd),))], varies=())
        found = [f for f in report.findings if f.severity in ("unfair", "differs") and "odd" in f.rows]
        checks = ("settings", "execution", "starts", "teachers", "pretraining", "test_images")
        found = [f for f in found if f.check in checks]
        if bool(found) == (key in CALM):
            unsaid.append((name, [f.text for f in report.findings if f.severity != "passed"]))
        if found and key.startswith(("recipe.", "data.")) and key not in ("data.name", "data.test_limit"):
            assert all(f.severity == "unfair" for f in found), (name, found)
    assert unsaid == []


def test_no_kind_can_stand_for_another_unsaid(fair: dict[str, list[Row]], tmp_path: Path) -> None:
    (_, full), *others = kinds()
    rows = fair[full.model_dump_json()]
    for number, (name, spec) in enumerate(others):
        report = audited([*rows, Row("odd", runs=(write(tmp_path / str(number), spec),))])
        same = at(spec.model_dump(), ("recipe",)) == at(full.model_dump(), ("recipe",))
        found = [f.text for f in report.unfair if f.check == "settings" and f.rows == ("odd",)]
        assert bool(found) != same, name
        assert same or f"odd: {name.split()[1]}" in found[0], found


def flat(value: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, part in value.items():
        yield from flat(part, (*path, key)) if isinstance(part, dict) else [(*path, key)]


def test_no_key_of_the_environment_can_differ_unsaid(tmp_path: Path) -> None:
    rows = [Row(name, runs=(write(tmp_path / name, spec_of("resnet_mini")),)) for name in "ab"]
    odd = write(tmp_path / "odd", spec_of("resnet_mini"))
    paths = [*flat(ENVIRONMENT), ("something", "new"), ("packages", "another-package")]
    assert {("packages", "torch"), ("processor",), ("git_commit",), ("threads",), ("machine",)} <= set(paths)
    for path in paths:
        environment = json.loads(json.dumps(ENVIRONMENT))
        parent = environment.setdefault(path[0], {}) if len(path) > 1 else environment
        parent[path[-1]] = f"{parent.get(path[-1])} otherwise"
        edit(odd.path / "environment.json", environment)
        found = [f for f in audited([*rows, Row("odd", runs=(odd,))]).of("differs") if f.check == "environment"]
        assert [f.rows for f in found] == [("odd",)], path
        assert ".".join(path) in found[0].text and "otherwise" in found[0].text
        (odd.path / "environment.json").write_text(json.dumps(ENVIRONMENT))
