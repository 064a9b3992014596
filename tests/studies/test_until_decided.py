"""A study run until its question is decided: which rows get seeds, what is kept, and what a further look costs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from levelfield.cli.study.app import app
from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.spec import RunSpec
from levelfield.statistics.looks import Look
from levelfield.studies.results.merge import merge_folders
from levelfield.studies.results.study_request import StudyRequest, judged
from levelfield.studies.running.in_process import InProcess
from levelfield.studies.running.until_decided import UntilDecided, seeds_up_to, settle_looks
from levelfield.study import Study
from levelfield.tables import build_table, read_study
from levelfield.tables.looks import Looks, write_looks
from levelfield.tables.text.footnotes import footnotes

Write = Callable[..., Path]
FOUR = UntilDecided(most=4)


RECIPE = {
    "optimizer": {"name": "adamw", "lr": 0.003},
    "augment": {"crop": {"name": "pad_crop", "padding_px": 1}},
    "batch_size": 64,
    "precision": "fp32",
    "validation": 0,
    "budget": {"steps": 20},
}
STUDY = {
    "question": "Which?",
    "data": {"name": "digits", "image_size": 16, "train_limit": 400, "test_limit": 300},
    "recipes": "small.yaml",
    "seeds": 2,
    "baseline": "resnet_nano",
    "models": ["resnet_nano", "vit_mini"],
    "rows": [{"model": "resnet_nano", "name": "decay", "set": {"recipe.optimizer.weight_decay": 0.051}}],
}
"""resnet_nano, the same with a little decay, which cannot be told from it, and vit_mini, which learns nothing."""


def looked(out: Path) -> list[dict[str, Any]]:
    return list(json.loads((out / "looks.json").read_text())["looks"])


def seeds_held(out: Path) -> dict[str, int]:
    return {row: len(list((out / row).glob("seed*/result.json"))) for row in ("resnet_nano", "vit_mini", "decay")}


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str]]:
    """The study file, its folder, interrupted once in the second round and finished, and the runs in their order."""
    folder = tmp_path_factory.mktemp("grown")
    (folder / "small.yaml").write_text(yaml.safe_dump(RECIPE))
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    order: list[str] = []

    class Stopped(InProcess):
        def submit(self, spec: RunSpec, folder: Path, progress: Progress) -> Any:
            if spec.seed == 3 and not stopped:
                stopped.append(True)
                raise KeyboardInterrupt
            order.append(f"{folder.parent.name} {spec.seed}")
            return super().submit(spec, folder, progress)

    stopped: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        Study.load(path).run(folder / "out", until=FOUR, executor=Stopped(), page=False)
    assert len(looked(folder / "out")) == 1
    Study.load(path).run(folder / "out", until=FOUR, executor=Stopped(), page=False)
    return path, folder / "out", order


@pytest.fixture
def copy(grown: tuple[Path, Path, list[str]], tmp_path: Path) -> tuple[Study, Path]:
    shutil.copytree(grown[1], tmp_path / "out")
    return Study.load(grown[0]), tmp_path / "out"


def test_a_decided_row_gets_no_more_seeds_and_interrupted_it_goes_on_as_it_was(
    grown: tuple[Path, Path, list[str]],
) -> None:
    _, out, order = grown
    assert seeds_held(out) == {"resnet_nano": 4, "decay": 4, "vit_mini": 3}
    assert len(order) == len(set(order)) == 11  # nothing was trained twice
    assert [one.rpartition(" ")[2] for one in order] == ["0"] * 3 + ["1"] * 3 + ["2"] * 3 + ["3"] * 2
    first, second = looked(out)
    assert [one["different"] for one in first["pairs"] if (one["a"], one["b"]) == ("vit_mini", "resnet_nano")] == [True]
    assert (first["asked"], second["asked"]) == (3, 4)
    assert set(second["seeds"]) == {"resnet_nano", "decay"}
    assert first["share"] + second["share"] == pytest.approx(1.0)


def test_the_table_keeps_what_was_decided_and_says_what_was_spent_and_saved(copy: tuple[Study, Path]) -> None:
    study, out = copy
    for table in (build_table(read_study(out)), study.run(out, until=UntilDecided(), page=False)):
        (panel,) = table.panels.values()
        worse = panel.between("vit_mini", "resnet_nano")
        assert worse is not None and worse.different and worse.runs == (3, 3)
        assert panel.spent == pytest.approx(0.05)
        said = " ".join(table.study.notes)
        assert "looked at 2 times, with 3 and 4 seeds a row" in said
        assert any("as at the look with 3 seeds, not that of the two means" in note for note in footnotes(table))
        assert "11 runs of the 12 that 4 seeds of each of 3 rows would have taken; 1 saved" in said
        assert table.study.command.endswith("--until decided --max-seeds 4")
    assert len(looked(out)) == 2 and seeds_held(out) == {"resnet_nano": 4, "decay": 4, "vit_mini": 3}


def test_seeds_beyond_the_plan_are_a_further_look_that_spends_beside_it(copy: tuple[Study, Path]) -> None:
    study, out = copy
    table = study.run(out, seeds=[0, 1, 2, 3, 4], only=["resnet_nano", "decay"], page=False)
    third = looked(out)[2]
    assert (third["share"], third["asked"]) == (0.5, 0)
    assert {row: len(seeds) for row, seeds in third["seeds"].items()} == {"resnet_nano": 5, "decay": 5, "vit_mini": 3}
    (panel,) = table.panels.values()
    assert panel.spent == pytest.approx(0.075)
    assert "claims any difference in at most 7.5 %, over all looks at it" in " ".join(footnotes(table))
    study.run(out, page=False)  # nothing new: no look
    assert len(looked(out)) == 3


def test_a_table_that_was_seen_whole_goes_on_at_half_its_level(copy: tuple[Study, Path]) -> None:
    study, out = copy
    (out / "looks.json").unlink()  # as if its seeds had been asked for at once
    study.run(out, until=UntilDecided(most=5), page=False)
    one, two = looked(out)
    assert (one["share"], one["asked"], two["share"], two["asked"]) == (1.0, 0, 0.5, 0)
    assert {row: len(seeds) for row, seeds in one["seeds"].items()} == {"resnet_nano": 4, "decay": 4, "vit_mini": 3}
    assert {row: len(seeds) for row, seeds in two["seeds"].items()} == {"resnet_nano": 5, "decay": 5}


def test_an_edited_row_has_not_been_looked_at(copy: tuple[Study, Path]) -> None:
    _, out = copy
    kept = read_study(out).looks
    assert kept is not None
    other = kept.of({**kept.settings, "vit_mini": "another"})
    assert other is not None and all("vit_mini" not in look.seeds for look in other.looks)
    assert not [pair for look in other.looks for pair in look.pairs or () if "vit_mini" in pair.pair]
    assert kept.of(dict.fromkeys(kept.settings, "another")) is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--max-seeds", "6"], "--max-seeds 4, not 6"),
        (["--max-seeds", "2"], "--max-seeds 2 is too few"),
        (["--margin", "0.2"], "not by the usual one within 0.2"),
        (["--verdict", "strict"], "not by the strict one within 0.5"),
        (["--margin", "-1"], "within -1 points"),
    ],
)
def test_another_plan_is_refused_and_nothing_is_lost(
    copy: tuple[Study, Path], grown: tuple[Path, Path, list[str]], options: list[str], said: str
) -> None:
    _, out = copy
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    result = CliRunner().invoke(app, ["run", str(grown[0]), "--until", "decided", "--out", str(out), "--yes", *options])
    assert isinstance(result.exception, UserError) and said in str(result.exception)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_looks_keep_to_the_margin_that_the_folder_was_judged_with(study_file: Write, tmp_path: Path) -> None:
    study = Study.load(study_file())
    study.run(tmp_path / "out", seeds=[0], margin=3.0, page=False)
    study.run(tmp_path / "out", until=UntilDecided(most=3), page=False)
    assert json.loads((tmp_path / "out" / "looks.json").read_text())["margin"] == 3.0
    with pytest.raises(UserError, match="not by the usual one within 1"):
        study.run(tmp_path / "out", margin=1.0, page=False)


def test_rounds_end_where_every_row_lost_a_seed(study_file: Write, tmp_path: Path) -> None:
    class Failing(InProcess):
        def submit(self, spec: RunSpec, folder: Path, progress: Progress) -> Any:
            if spec.seed == 1:
                raise UserError("no such luck")
            return super().submit(spec, folder, progress)

    study = Study.load(study_file())
    study.run(tmp_path / "out", until=FOUR, executor=Failing(), page=False)
    assert [one["asked"] for one in looked(tmp_path / "out")] in ([3], [3, 4])
    assert sum(one["share"] for one in looked(tmp_path / "out")) <= 1 + 1e-9


def test_a_table_is_reported_by_the_rule_of_its_looks(copy: tuple[Study, Path]) -> None:
    _, out = copy
    for options in ({"verdict": "strict"}, {"margin": 3.0}):
        with pytest.raises(UserError, match="leave --margin and --verdict away"):
            build_table(read_study(out), **options)  # type: ignore[arg-type]


def test_runs_that_no_look_has_seen_are_named(copy: tuple[Study, Path], tmp_path: Path) -> None:
    study, out = copy
    study.run(tmp_path / "more", seeds=[5, 6], page=False)
    before = {(pair.a, pair.b): pair for pair in next(iter(build_table(read_study(out)).panels.values())).pairs}
    merge_folders([tmp_path / "more"], out)
    table = build_table(read_study(out))
    (panel,) = table.panels.values()
    assert {(pair.a, pair.b): pair for pair in panel.pairs} == before
    said = " ".join(table.study.notes)
    assert "6 runs came after the last look" in said and "11 runs of the 12" in said


def test_two_tables_that_were_looked_at_are_not_joined(copy: tuple[Study, Path], tmp_path: Path) -> None:
    study, out = copy
    study.run(tmp_path / "other", until=UntilDecided(most=3), page=False)
    before = (tmp_path / "other" / "looks.json").read_bytes()
    with pytest.raises(UserError, match="both were looked at"):
        merge_folders([out], tmp_path / "other")
    assert (tmp_path / "other" / "looks.json").read_bytes() == before
    merge_folders([out], tmp_path / "new")
    merge_folders([out], tmp_path / "new")  # the same looks again


def test_a_plan_binds_from_its_first_look_on(tmp_path: Path) -> None:
    """One that was interrupted before that may be told another number of seeds and another margin."""
    asked = StudyRequest("tiny", "tiny.yaml")
    write_looks(tmp_path, Looks((), 0.5, "usual", {}, most=10))
    assert settle_looks(tmp_path, UntilDecided(), 0.5, "usual").most == 10
    within = judged(asked, tmp_path, margin=0.2).margin
    assert settle_looks(tmp_path, UntilDecided(4), within, "usual") == Looks((), 0.2, "usual", {}, most=4)
    assert judged(asked, tmp_path).margin == 0.5
    write_looks(tmp_path, Looks((Look({"a": (0, 1, 2)}, 0.3, 3, ()),), 0.5, "usual", {}, most=10))
    with pytest.raises(UserError, match="planned with --max-seeds 10, not 4"):
        settle_looks(tmp_path, UntilDecided(4), 0.5, "usual")
    with pytest.raises(UserError, match=r"within 0.5 points, not by the usual one within 0.2"):
        judged(asked, tmp_path, margin=0.2)


def test_a_damaged_record_is_refused(copy: tuple[Study, Path]) -> None:
    _, out = copy
    (out / "looks.json").write_text('{"margin": 0.5, "looks": [')
    with pytest.raises(UserError, match=r"looks\.json cannot be read.*\n.*what was decided"):
        read_study(out)


@pytest.mark.parametrize("option", [["--seeds", "3"], ["--row", "vit_mini"]])
def test_rows_and_seeds_are_not_chosen_by_hand_as_well(study_file: Write, tmp_path: Path, option: list[str]) -> None:
    arguments = ["run", str(study_file()), "--until", "decided", "--out", str(tmp_path / "out"), "--yes", *option]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, UserError) and "leave --row and --seeds away" in str(result.exception)
    result = CliRunner().invoke(app, ["run", str(study_file()), "--out", str(tmp_path / "out"), "--max-seeds", "4"])
    assert isinstance(result.exception, UserError) and "belongs to --until decided" in str(result.exception)


def test_seeds_go_on_after_the_studys_own_and_spare_that_of_sweeps() -> None:
    assert seeds_up_to(5, (1, 2, 7)) == (1, 2, 7, 8, 9)
    assert seeds_up_to(2, (1, 2, 7)) == (1, 2)
    assert 1000 not in seeds_up_to(4, (998,)) and len(seeds_up_to(4, (998,))) == 4
