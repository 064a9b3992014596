"""Ablations: which rows they have, that controls are as large as the full network, and the command."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.cost import count_macs, count_parameters
from levelfield.errors import UserError
from levelfield.known_models import built_in
from levelfield.models import on_meta
from levelfield.spec import list_recipes, load_recipe
from levelfield.statistics.factorial import factorial_effects
from levelfield.studies.declared.ablation import Ablation, Control, part_of_key, parts_of_model, parts_of_recipe
from levelfield.studies.declared.planned_runs import planned_rows
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.running.own_positions import check_own

OUTGRID = parts_of_model(built_in()["outgrid_nano"].info)


def ablation(**changes: object) -> Ablation:
    values: dict = dict(model="outgrid_nano", data="digits", recipe="cpu-fast", parts=tuple(OUTGRID), seeds=2)
    return Ablation(**(values | changes))


def names(of: Ablation) -> list[str]:
    return [variant.name for variant in of.variants()]


def test_rows_of_each_design() -> None:
    assert names(ablation()) == ["outgrid_nano", "no-outlook", "no-mbconv", "no-grid"]
    assert names(ablation(mode="add-one-in")) == ["outgrid_nano", "bare", "only-outlook", "only-mbconv", "only-grid"]
    assert len(set(names(ablation(mode="factorial")))) == 8
    bare = next(variant for variant in ablation(mode="add-one-in").variants() if variant.name == "bare")
    assert bare.changes == {f"model.options.{part}": False for part in ("outlook", "mbconv", "grid")}


def test_of_what_a_network_has_not_the_bare_one_has_nothing_either() -> None:
    parts = tuple(parts_of_model(built_in()["roadmap_3"].info, ["gelu", "inverted"]))
    rows = {row.name: row.changes for row in ablation(model="roadmap_3", parts=parts, mode="add-one-in").variants()}
    gelu, inverted = "model.options.gelu", "model.options.inverted"
    assert rows == {
        "roadmap_3": {}, "bare": {inverted: False}, "only-inverted": {}, "only-gelu": {inverted: False, gelu: True}
    }  # fmt: skip


def test_every_model_with_switches_makes_a_study_that_can_be_planned() -> None:
    switched = [name for name, known in built_in().items() if known.info.switches]
    assert {"outgrid_7m", "roadmap_5", "rexnet_tiny", "convnext_simple_s_p2"} <= set(switched)
    for name in switched:
        whole = ablation(model=name, parts=tuple(parts_of_model(built_in()[name].info)))
        rows = planned_rows(StudySpec.parse({"name": "a"} | whole.study(), name), "full")
        assert len(rows) == 1 + sum(len(part.others) for part in whole.parts)


@pytest.mark.parametrize("recipe", list_recipes())
def test_every_part_of_a_recipe_changes_the_run(recipe: str) -> None:
    parts = parts_of_recipe(load_recipe(recipe).recipe)
    assert parts
    whole = ablation(model="resnet_nano", recipe=recipe, parts=tuple(parts))
    full, *others = planned_rows(StudySpec.parse({"name": "a"} | whole.study(), recipe), "full")
    assert all(row.spec.recipe != full.spec.recipe for row in others)


def test_a_study_of_the_recipes_parts_asks_for_those_and_not_for_the_networks() -> None:
    parts = tuple(parts_of_recipe(load_recipe("cpu-fast").recipe))
    study = ablation(model="vit_mini", parts=parts).study()
    assert study["question"] == "What does vit_mini lose without each part of its recipe, cpu-fast?"
    assert ablation().study()["question"] == "What does outgrid_nano lose without each of its parts?"
    both = (*parts, part_of_key("model.options.patch", [2, 4]))
    assert ablation(model="vit_mini", parts=both).study()["question"].endswith("without each of these parts?")


def test_the_factors_are_balanced() -> None:
    factors = ablation(mode="factorial").study()["factors"]
    assert list(factors) == ["outlook", "mbconv", "grid"]
    for positions in factors.values():
        own, other = positions.values()
        assert len(own) == len(other) == 4 and not set(own) & set(other)


def test_a_control_that_misses_the_size_is_not_called_as_large() -> None:
    steps = ablation().study({"no-grid": Control(1.1, "wider", 0.12), "no-outlook": Control(1.1, "wider", -0.04)})[
        "steps"
    ]
    names = [step["name"] for step in steps if step["after"].endswith("-matched")]
    assert names == ["no outlook, at equal size", "no grid, at 112 % of the full size"]


def test_one_part_alone_that_is_as_large_as_the_whole_stands_beside_the_bare_ones_control() -> None:
    steps = ablation(mode="add-one-in").study({"bare": Control(1.3, "wider")})["steps"]
    assert {"name": "only grid, at equal size", "before": "bare-matched", "after": "only-grid"} in steps


def test_controls_of_a_network_that_is_wider_already_are_as_large_as_it(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    run("outgrid_nano", "--part", "grid", "--set", "model.options.width_factor=1.5", "--only-write", "--file", file)
    (matched,) = [row for row in yaml.safe_load(file.read_text())["rows"] if row["name"] == "no-grid-matched"]
    full = count_parameters(on_meta("outgrid_nano", 10, 8, width_factor=1.5)).total
    options = {key.removeprefix("model.options."): value for key, value in matched["set"].items()}
    assert options["width_factor"] > 1.5
    assert count_parameters(on_meta("outgrid_nano", 10, 8, **options)).total == pytest.approx(full, rel=0.03)


def test_the_effect_of_a_part_is_that_of_having_it_also_where_the_network_has_it_not() -> None:
    parts = tuple(parts_of_model(built_in()["roadmap_3"].info, ["gelu", "inverted"]))
    factors = ablation(model="roadmap_3", parts=parts, mode="factorial").study()["factors"]
    first = {part: next(iter(positions)) for part, positions in factors.items()}
    assert first == {"inverted": "own", "gelu": "with-gelu"}
    scores = {name: [90.0, 90.2] for name in factors["gelu"]["own"]}
    scores |= {name: [91.0, 91.2] for name in factors["gelu"]["with-gelu"]}
    cells = {tuple(name in factors[part][first[part]] for part in factors): scores[name] for name in scores}
    gelu = next(one for one in factorial_effects(list(factors), cells) if one.parts == ("gelu",))
    assert gelu.estimate == pytest.approx(1.0) and gelu.decided


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"kernel": {"7": ["a"], "5": ["b"], "3": ["c"]}}, "kernel has 3 positions"),
        ({"kernel": {"7": ["a"], "5": ["a"]}}, "row 'a' must stand in one position of each part"),
        ({"x": {"in": ["a"], "out": ["b"]}, "y": {"in": ["a"], "out": ["c"]}}, "row 'b' must stand in one position"),
        ({"kernel": {"7": ["a", "b"], "5": ["c"]}}, "1 parts have 2 combinations; give each one row"),
        ({"x": {"in": ["a"], "out": ["b"]}, "y": {"in": ["a"], "out": ["b"]}}, "2 parts have 4 combinations"),
    ],
)
def test_factors_of_which_no_effects_follow_are_refused(factors: dict, message: str) -> None:
    rows = [{"model": "resnet_nano", "name": name} for name in "abcd"]
    with pytest.raises(UserError, match=message):
        StudySpec.parse({"name": "a", "data": "digits", "rows": rows, "factors": factors}, "a")


def test_controls_stand_beside_what_they_are_of() -> None:
    study = ablation().study({"no-grid": Control(1.1, "wider")})
    assert [row["name"] for row in study["rows"]][-2:] == ["no-grid", "no-grid-matched"]
    assert study["rows"][-1]["set"] == {"model.options.grid": False, "model.options.width_factor": 1.1}
    assert study["steps"][-1] == {
        "name": "no grid, at equal size",
        "before": "outgrid_nano",
        "after": "no-grid-matched",
    }
    assert "model.options.width_factor" in study["varies"]


@pytest.mark.parametrize(
    ("parts", "mode", "message"),
    [
        ([part_of_key(f"k{i}", [1, 2]) for i in range(5)], "factorial", "at most 4 parts, and there are 5"),
        ([part_of_key(f"model.options.k{i}", [1, 2]) for i in range(5)], "factorial", "name some of them with --part"),
        ([part_of_key("model.options.patch", [1, 2, 4])], "factorial", "two positions, and patch has 3"),
        ([part_of_key("model.options.patch", [1, 2, 4])], "add-one-in", "--switch model.options.patch=OWN,OTHER"),
    ],
)
def test_designs_that_cannot_be(parts: list, mode: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ablation(parts=tuple(parts), mode=mode).variants()


def test_a_part_that_is_taken_away_by_set_is_not_taken_away_again(tmp_path: Path) -> None:
    arguments = ["resnet_nano", "--recipe-parts", "--only-write", "--file", tmp_path / "a.yaml"]
    run(*arguments)
    names = {row["name"] for row in yaml.safe_load((tmp_path / "a.yaml").read_text())["rows"]}
    run(*arguments, "--set", "recipe.optimizer.weight_decay=0")
    fewer = {row["name"] for row in yaml.safe_load((tmp_path / "a.yaml").read_text())["rows"]}
    assert names - fewer == {"no-weight_decay"}


def test_a_row_that_would_be_another_one_again_is_refused() -> None:
    idle = part_of_key("recipe.regularisation.clip_norm", [1.0, 1.0])
    with pytest.raises(UserError, match=r"clip_norm-1\.0 would be the very training that resnet_nano is"):
        check_own(ablation(model="resnet_nano", parts=(idle,), changes={"recipe.regularisation.clip_norm": 1.0}))


def test_parts_of_one_name_are_told_apart_by_their_keys() -> None:
    parts = [part_of_key("model.options.dropout", [0, 0.1])]
    parts.append(part_of_key("recipe.regularisation.dropout", [None, 0.2], [part.name for part in parts]))
    factors = ablation(parts=tuple(parts), mode="factorial").study()["factors"]
    assert list(factors) == ["dropout", "recipe.regularisation.dropout"]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["ablate", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("match", ["params", "macs"])
def test_controls_are_as_large_as_the_full_network(match: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    run("outgrid_nano", "--only-write", "--match", match, "--file", file)
    rows = {row["name"]: row.get("set", {}) for row in yaml.safe_load(file.read_text())["rows"]}

    def size(row: str) -> int:
        options = {key.removeprefix("model.options."): value for key, value in rows[row].items()}
        network = on_meta("outgrid_nano", 10, 8, **options)  # of the digits' size
        return count_parameters(network).total if match == "params" else count_macs(network, 8).total

    matched = [name for name in rows if name.endswith("-matched")]
    assert len(matched) == 3
    for name in matched:
        full = size("outgrid_nano")
        assert abs(size(name) / full - 1) < 0.03 < abs(size(name.removesuffix("-matched")) / full - 1)


def test_controls_can_be_deeper_instead(tmp_path: Path) -> None:
    """Blocks are whole: a control may miss the size, which its row and its step say; none is the row itself again."""
    file = tmp_path / "a.yaml"
    told = run(
        "roadmap_5",
        "--set",
        "data.image_size=32",
        "--only-write",
        "--match-by",
        "depth",
        "--match",
        "macs",
        "--file",
        file,
    )
    study = yaml.safe_load(file.read_text())
    rows = {row["name"]: row for row in study["rows"]}

    def size(row: str) -> int:
        options = {key.removeprefix("model.options."): value for key, value in rows[row].get("set", {}).items()}
        return count_macs(on_meta("roadmap_5", 10, 32, **options), 32).total

    full = size("roadmap_5")
    matched = [name for name in rows if name.endswith("-matched")]
    assert len(matched) > 3
    for name in matched:
        own = name.removesuffix("-matched")
        set_, off = rows[name]["set"], size(name) / full - 1
        assert "model.options.width_factor" not in set_ and set_["model.options.depth_factor"] != 1
        assert abs(off) < abs(size(own) / full - 1) and f"({off:+.1%} of" in rows[name]["note"]
        (step,) = [step for step in study["steps"] if step["after"] == name]
        assert ("at equal size" in step["name"]) == (abs(off) <= 0.05)
    without = [name for name in rows if abs(size(name) / full - 1) > 0.005 and f"{name}-matched" not in rows]
    assert {name for name in without if not name.endswith("-matched")} == set(
        re.findall(r"^(\S+) has no control of ", told, re.M)
    )
    assert "model.options.depth_factor" in study["varies"]


def test_one_command_writes_runs_and_answers(tmp_path: Path) -> None:
    file, out = tmp_path / "a.yaml", tmp_path / "out"
    arguments = ["outgrid_nano", "--part", "grid", "--part", "outlook", "--design", "factorial"]
    arguments += ["--seeds", 2, "--set", "budget.steps=2", "--set", "data.train_limit=64", "--yes"]
    told = CliRunner().invoke(
        app, ["ablate", *map(str, arguments), "--file", str(file), "--out", str(out), "--json"], catch_exceptions=False
    )
    assert told.exit_code == 0
    (effects,) = json.loads(told.stdout)["effects"]
    assert [effect["parts"] for effect in effects["effects"]] == [["outlook"], ["grid"], ["outlook", "grid"]]
    assert len(yaml.safe_load(file.read_text())["rows"]) == 4  # no controls of equal size, which no effect uses
    page = (out / "report.html").read_text()
    assert "What each part brings" in page and "outlook x grid" in page
    file.write_text("mine: true\n")
    with pytest.raises(UserError, match="is there already"):
        run(*arguments, "--file", file, "--out", out)


def test_the_parts_of_the_recipe_are_a_study_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("outgrid_nano", "--match", "none", "--only-write")
    run("outgrid_nano", "--match", "none", "--recipe-parts", "--only-write")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ablate-outgrid_nano-recipe.yaml",
        "ablate-outgrid_nano.yaml",
    ]


def test_the_command_that_runs_what_was_written_has_all_that_it_needs(tmp_path: Path) -> None:
    plugin, file, out = tmp_path / "own nets.py", tmp_path / "a.yaml", tmp_path / "out"
    plugin.write_text(
        "import levelfield\nfrom torch import nn\n\n"
        "@levelfield.register_model('own_net', switches={'bias': [True, False]})\n"
        "def own_net(num_classes: int = 10, bias: bool = True) -> nn.Module:\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, num_classes, bias=bias))\n"
    )
    told = run(
        "own_net",
        "--plugin",
        plugin,
        "--match",
        "none",
        "--only-write",
        "--file",
        file,
        "--out",
        out,
        "--data-dir",
        tmp_path,
    )
    (command,) = (line.removeprefix("run it: ") for line in told.splitlines() if line.startswith("run it: "))
    program, *arguments = shlex.split(command)
    assert program == "levelfield" and arguments[:3] == ["study", "run", str(file)]
    planned = CliRunner().invoke(app, ["study", "plan", *arguments[2:], "--json"], catch_exceptions=False)
    assert planned.exit_code == 0 and {"--plugin", "--out", "--data-dir"} <= set(arguments), command


def test_a_file_that_was_edited_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    arguments = ["outgrid_nano", "--match", "none", "--only-write", "--file", file]
    run(*arguments)
    written = file.read_text()
    run(*arguments)
    run(*arguments, "--seeds", 5)  # as it was written, it may be written anew
    assert "seeds: 5" in file.read_text() and "seeds: 3" in written
    file.write_text(file.read_text().replace("seeds: 5", "seeds: 4"))
    with pytest.raises(UserError, match="was edited, which writing it again would undo"):
        run(*arguments)
    assert "seeds: 4" in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["vit_mini", "--only-write"], "has no switches to ablate"),
        (["outgrid_nano", "--part", "grids", "--only-write"], "did you mean 'grid'"),
        (["outgrid_nano", "--switch", "model.options.grid", "--only-write"], "KEY=OWN,OTHER"),
        (["outgrid_nano", "--switch", "model.options.grid=1", "--only-write"], "its own position and others"),
        (["outgrid_nano", "--part", "grid", "--recipe-parts", "--only-write"], "give one of them"),
        (["outgrid_nano", "--design", "factorial", "--match", "macs", "--only-write"], "use no controls of equal size"),
        (["outgrid_nano", "--switch", "data.image_size=64,32", "--only-write"], "data.image_size is 8 here, not 64"),
        (["outgrid_nano", "--switch", "budget.epochs=3,5", "--only-write"], "put 14 first, or --set budget.epochs=3"),
        (["outgrid_nano", "--switch", "recipe=digits-fast,cpu-fast", "--only-write"], "recipe is cpu-fast here"),
        (["convnext_nano_p2", "--switch", "model.options.patch=4,2", "--only-write"], "patch is 2 here, not 4"),
        (["outgrid_nano", "--set", "model.options.grid=false", "--only-write"], "model.options.grid is False here"),
        (
            ["vit_mini", "--switch", "model.options.dept=1,2", "--only-write"],
            "unknown option of model 'vit_mini' 'dept'",
        ),
        (
            ["vit_mini", "--recipe-parts", "--design", "factorial", "--only-write"],
            "take some of them in place of --recipe-parts: --switch recipe.augment.crop=OWN,OTHER",
        ),
    ],
)
def test_bad_input(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        run(*arguments, "--file", tmp_path / "a.yaml")
    assert not (tmp_path / "a.yaml").exists()
