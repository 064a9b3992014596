"""How a study was asked for in a folder: kept in study.json, so that nothing must be said twice to be right.

A folder holds one study at one scale, with one set of changes. What a command that looks at results does not say is
taken from the folder; a command that trains must say it again, or is refused, as it would train something else than
what its words say.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.runs import write_json
from levelfield.spec.overrides import only_how, trained_otherwise
from levelfield.statistics import MARGIN
from levelfield.studies.declared.planned_runs import PlannedRow, PlannedRun, not_one_text, planned_rows, runs_of
from levelfield.studies.declared.seeds import seeds_in_words
from levelfield.studies.declared.study import Changes, StudySpec
from levelfield.studies.results.run_folders import default_folder
from levelfield.tables.looks import read_looks, rule_of_table
from levelfield.tables.sweeps import read_tuned
from levelfield.tables.verdict_rule import VerdictRule, checked_margin, checked_rule, rule_as_options, with_rule


@dataclass(frozen=True)
class StudyOptions:
    """What a command says of how a study is to be run: as --scale, --set, --plugin and --data-dir give it. What is None
    it does not say."""

    scale: str | None = None
    overrides: Sequence[str] | None = None
    plugins: Sequence[str] | None = None
    data_dir: str | None = None

    def __post_init__(self) -> None:
        not_one_text(overrides=self.overrides, plugins=self.plugins)


NOTHING: Final = StudyOptions()


@dataclass(frozen=True)
class StudyRequest:
    """`source`: what the study was loaded from. `overrides`, `plugins`, `data_dir`: as the options --set, --plugin and
    --data-dir gave them. `seeds`: of rows whose seeds were asked for with --seeds, all that ever were; `usual`: the
    study's, of all other rows. `margin`, `verdict`: by which rule its table is decided, as last said."""

    study: str
    source: str
    scale: str = "full"
    overrides: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    data_dir: str | None = None
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    usual: tuple[int, ...] = ()
    margin: float = MARGIN
    verdict: VerdictRule = "usual"

    @property
    def changes(self) -> tuple[str, ...]:
        """Those of the overrides that change what is trained, without blanks."""
        return trained_otherwise(self.overrides)

    def rows(
        self, study: StudySpec, out: Path, only: Sequence[str] = (), tuned: Mapping[str, Changes] | None = None
    ) -> list[PlannedRow]:
        """The rows of `study` as asked for, with what a sweep in `out` found (or with `tuned` instead)."""
        return planned_rows(
            study,
            self.scale,
            overrides=self.overrides,
            only=only,
            plugins=self.plugins,
            data_dir=self.data_dir,
            tuned=read_tuned(out) if tuned is None else tuned,
        )

    def runs(
        self, study: StudySpec, out: Path, seeds: Sequence[int] | None = None, only: Sequence[str] = (),
        tuned: Mapping[str, Changes] | None = None,
    ) -> list[PlannedRun]:  # fmt: skip
        """The runs of those rows: of `seeds`, or of those planned for each row (None)."""
        rows = self.rows(study, out, only, tuned)
        return runs_of(rows, {row.name: self.seeds_of(row.name) if seeds is None else seeds for row in rows})

    def seeds_of(self, row: str) -> tuple[int, ...]:
        """The seeds planned for a row: those asked for, else the study's at this scale."""
        return self.seeds.get(row) or self.usual

    def as_json(self) -> dict[str, Any]:
        return {
            "study": self.study,
            "source": self.source,
            "scale": self.scale,
            "set": list(self.overrides),
            "plugins": list(self.plugins),
            "data_dir": self.data_dir,
            "seeds": {row: list(seeds) for row, seeds in self.seeds.items()},
            "usual": list(self.usual),
            "margin": self.margin,
            "verdict": self.verdict,
        }


def read_request(out: Path) -> StudyRequest | None:
    """How the study in `out` was asked for; None where there is none. A study.json of old says no more than its name
    and scale. Raises UserError where it is damaged."""
    path = out / "study.json"
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
        asked = study.get("asked") or {"study": study["name"], "source": study["name"], "scale": study.get("scale")}
        return from_json(asked)
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UserError(
            f"{out} lies at or below a file, which holds no study\nchoose another folder with --out"
        ) from None
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error!r}\nremove it: the same command writes a new one") from None


def from_json(asked: Mapping[str, Any]) -> StudyRequest:
    return StudyRequest(
        study=asked["study"],
        source=asked.get("source") or asked["study"],
        scale=asked.get("scale") or "full",
        overrides=tuple(asked.get("set") or ()),
        plugins=tuple(asked.get("plugins") or ()),
        data_dir=asked.get("data_dir"),
        seeds={row: tuple(seeds) for row, seeds in (asked.get("seeds") or {}).items()},
        usual=tuple(asked.get("usual") or ()),
        margin=checked_margin(asked.get("margin", MARGIN)),
        verdict=checked_rule(asked.get("verdict", "usual")),
    )


def settle(study: StudySpec, out: Path, said: StudyOptions = NOTHING) -> StudyRequest:
    """What `study` in `out` is asked for: what is said, else what the folder says, else nothing.

    Overrides that only say how runs are carried out leave the folder's changes as they are; an empty one ("") takes
    all back. Raises UserError where the folder holds another study, or this one at another scale.
    """
    before = read_request(out) or StudyRequest(study.name, study.source, said.scale or "full")
    if before.study != study.name:
        raise UserError(f"{out} holds study {before.study!r}, not {study.name!r}\nchoose another folder with --out")
    if said.scale not in (None, before.scale):
        raise UserError(
            f"{out} holds {study.name} at scale {before.scale!r}, not {said.scale!r}\nchoose another folder with --out"
        )
    changes, plugins = _given(said.overrides), _given(said.plugins)
    if changes and only_how(changes):
        changes = tuple(text for text in before.overrides if not only_how([text])) + changes
    return replace(
        before,
        source=study.source,
        overrides=before.overrides if changes is None else changes,
        plugins=before.plugins if plugins is None else plugins,
        data_dir=before.data_dir if said.data_dir is None else said.data_dir,
        usual=study.scale(before.scale).seeds or study.seeds,
    )


def settle_to_train(study: StudySpec, out: Path, said: StudyOptions) -> StudyRequest:
    """As `settle`, for a command that trains: what changes the runs must be said. Raises UserError where the folder
    was run at a scale, with changes or with plugins, and nothing is said of them."""
    asked, before = settle(study, out, said), read_request(out)
    if before is None:
        return asked
    scale = () if before.scale == "full" else (before.scale,)
    overrides = _given(said.overrides)
    science_said = overrides is not None and (not overrides or not only_how(overrides))
    for option, is_said, held, back in (
        ("--scale", said.scale is not None, scale, ""),
        ("--set", science_said, before.changes, ", --set '' for the study as its file has it,"),
        ("--plugin", said.plugins is not None, before.plugins, ", --plugin '' for none,"),
    ):
        if held and not is_said:
            words = " ".join(f"{option} {shlex.quote(text)}" for text in held)
            raise UserError(
                f"{out} was run with {words}, and this says nothing of it\n"
                f"say the same again{back} or choose another folder with --out"
            )
    return asked


def judged(asked: StudyRequest, out: Path, margin: float | None = None, verdict: str | None = None) -> StudyRequest:
    """`asked` with its table decided as `margin` and `verdict` say; None leaves it as it was last said.

    Looks that were made at the table in `out` keep theirs: others would be chosen after the results were seen. Raises
    UserError for what cannot be.
    """
    within, rule = rule_of_table(read_looks(out), (asked.margin, asked.verdict), margin, verdict)
    return replace(asked, margin=within, verdict=rule)


def keep_rule(out: Path, margin: float | None, verdict: str | None) -> None:
    """Keep in the study.json of `out` by which margin and rule its table is decided, as last said; where there is none,
    or one of old that says nothing of how it was asked for, nothing is kept. Raises UserError for what cannot be."""
    path, before = out / "study.json", read_request(out)
    if before is None or (margin is None and verdict is None):
        return
    study = json.loads(path.read_text(encoding="utf-8"))
    if study.get("asked"):
        asked = judged(before, out, margin, verdict)
        study["asked"] |= {"margin": asked.margin, "verdict": asked.verdict}
        if study.get("command"):
            study["command"] = with_rule(study["command"], asked.margin, asked.verdict)
        write_json(path, study)


def with_seeds(asked: StudyRequest, rows: Iterable[str], seeds: Iterable[int], begun: bool) -> StudyRequest:
    """`asked` with `seeds` asked for in `rows`, beside those asked for before (`begun`: the study's, if never said)."""
    more = tuple(seeds)
    joined = dict(asked.seeds)
    for row in rows:
        held = asked.seeds_of(row) if begun or row in asked.seeds else ()
        joined[row] = tuple(sorted({*held, *more}))
    return replace(asked, seeds=joined)


def _words(what: str, asked: StudyRequest) -> list[str]:
    """`levelfield study` and a command of it, with all that the study was asked for."""
    words = ["levelfield", "study", what, asked.source]
    words += [] if asked.scale == "full" else ["--scale", asked.scale]
    words += [word for text in asked.overrides for word in ("--set", text)]
    words += [word for path in asked.plugins for word in ("--plugin", path)]
    return words + ([] if asked.data_dir is None else ["--data-dir", asked.data_dir])


def command_in(what: str, asked: StudyRequest, folder: Path) -> str:
    """The command that does `what` (run, sweep) with the study in `folder`."""
    return shlex.join([*_words(what, asked), *out_option(asked.study, asked.scale, folder)])


def out_option(study: str, scale: str, folder: Path) -> list[str]:
    """What a command has to say for the study to be in `folder`: nothing where it is there by itself."""
    return [] if folder == default_folder(study, scale) else ["--out", str(folder)]


def commands(asked: StudyRequest, planned: Mapping[str, Sequence[int]], until: int | None = None) -> str:
    """The commands that make the table, a line each: one for all rows, or one for those of equal seeds.

    `planned`: the seeds of every row of the table. `until`: up to so many seeds a row, until its question was decided.
    """
    words = _words("run", asked)
    words += rule_as_options(asked.margin, asked.verdict)
    if until is not None:
        return shlex.join([*words, "--until", "decided", "--max-seeds", str(until)])
    groups: dict[tuple[int, ...], list[str]] = {}
    for row, seeds in planned.items():
        groups.setdefault(tuple(sorted(set(seeds))), []).append(row)
    lines = []
    for seeds, rows in groups.items():
        line = words + ([] if seeds == tuple(sorted(asked.usual)) else ["--seeds", seeds_in_words(seeds)])
        line += [] if len(groups) == 1 else [word for row in rows for word in ("--row", row)]
        lines.append(shlex.join(line))
    return "\n".join(lines)


def _given(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(text for text in values if text.strip())
