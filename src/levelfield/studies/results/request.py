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
from typing import TYPE_CHECKING, Any

from levelfield.errors import UserError
from levelfield.tables.rows import EXECUTION, trained_otherwise

if TYPE_CHECKING:
    from levelfield.studies.declared.plan import PlannedRow, PlannedRun
    from levelfield.studies.declared.study import Changes, Study


@dataclass(frozen=True)
class Asked:
    """`source`: what the study was loaded from. `overrides`, `plugins`, `data_dir`: as the options --set, --plugin and
    --data-dir gave them. `seeds`: of rows whose seeds were asked for with --seeds, all that ever were; `usual`: the
    study's, of all other rows."""

    study: str
    source: str
    scale: str = "full"
    overrides: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    data_dir: str | None = None
    seeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    usual: tuple[int, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """Those of the overrides that change what is trained, without blanks."""
        return trained_otherwise(self.overrides)

    def rows(
        self, study: Study, out: Path, only: Sequence[str] = (), tuned: Mapping[str, Changes] | None = None
    ) -> list[PlannedRow]:
        """The rows of `study` as asked for, with what a sweep in `out` found (or with `tuned` instead)."""
        from levelfield.studies.declared.plan import planned_rows
        from levelfield.studies.results.run_folders import read_tuned

        found = read_tuned(out) if tuned is None else tuned
        return planned_rows(study, self.scale, only=only, **self.options, tuned=found)

    def runs(
        self, study: Study, out: Path, seeds: Sequence[int] | None = None, only: Sequence[str] = (),
        tuned: Mapping[str, Changes] | None = None,
    ) -> list[PlannedRun]:  # fmt: skip
        """The runs of those rows: of `seeds`, or of those planned for each row (None)."""
        from levelfield.studies.declared.plan import runs_of

        rows = self.rows(study, out, only, tuned)
        return runs_of(rows, {row.name: self.seeds_of(row.name) if seeds is None else seeds for row in rows})

    @property
    def options(self) -> dict[str, Any]:
        """Of `plan.planned_rows`."""
        return {"overrides": self.overrides, "plugins": self.plugins, "data_dir": self.data_dir}

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
        }


def read_asked(out: Path) -> Asked | None:
    """How the study in `out` was asked for; None where there is none. A study.json of old says no more than its name
    and scale. Raises UserError where it is damaged."""
    path = out / "study.json"
    try:
        study = json.loads(path.read_text(encoding="utf-8"))
        asked = study.get("asked") or {"study": study["name"], "source": study["name"], "scale": study.get("scale")}
        return from_json(asked)
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error!r}\nremove it: the same command writes a new one") from None


def from_json(asked: Mapping[str, Any]) -> Asked:
    return Asked(
        study=asked["study"],
        source=asked.get("source") or asked["study"],
        scale=asked.get("scale") or "full",
        overrides=tuple(asked.get("set") or ()),
        plugins=tuple(asked.get("plugins") or ()),
        data_dir=asked.get("data_dir"),
        seeds={row: tuple(seeds) for row, seeds in (asked.get("seeds") or {}).items()},
        usual=tuple(asked.get("usual") or ()),
    )


def settle(
    study: Study,
    out: Path,
    *,
    scale: str | None = None,
    overrides: Sequence[str] | None = None,
    plugins: Sequence[str] | None = None,
    data_dir: str | None = None,
) -> Asked:
    """What `study` in `out` is asked for: what is given, else what the folder says, else nothing.

    Overrides that only say how runs are carried out leave the folder's changes as they are; an empty one ("") takes
    all back. Raises UserError where the folder holds another study, or this one at another scale.
    """
    before = read_asked(out)
    if before is None:
        usual = study.scale(scale or "full").seeds or study.seeds
        fresh = Asked(study.name, study.source, scale or "full", usual=usual, data_dir=data_dir)
        return replace(fresh, overrides=_given(overrides) or (), plugins=_given(plugins) or ())
    if before.study != study.name:
        raise UserError(f"{out} holds study {before.study!r}, not {study.name!r}\nchoose another folder with --out")
    if scale is not None and scale != before.scale:
        raise UserError(
            f"{out} holds {study.name} at scale {before.scale!r}, not {scale!r}\nchoose another folder with --out"
        )
    changes = _given(overrides)
    if changes is None:
        changes = before.overrides
    elif changes and _only_how(changes):
        changes = tuple(text for text in before.overrides if not _only_how([text])) + changes
    sources = _given(plugins)
    return Asked(
        study=study.name,
        source=study.source,
        scale=before.scale,
        overrides=changes,
        plugins=before.plugins if sources is None else sources,
        data_dir=before.data_dir if data_dir is None else data_dir,
        seeds=before.seeds,
        usual=study.scale(before.scale).seeds or study.seeds,
    )


def settle_to_train(study: Study, out: Path, **given: Any) -> Asked:
    """As `settle`, for a command that trains: what changes the runs must be said. Raises UserError where the folder
    was run at a scale, with changes or with plugins, and nothing is said of them."""
    asked, before = settle(study, out, **given), read_asked(out)
    if before is None:
        return asked
    scale = () if before.scale == "full" else (before.scale,)
    overrides = _given(given.get("overrides"))
    science_said = overrides is not None and (not overrides or not _only_how(overrides))
    for option, said, held, back in (
        ("--scale", given.get("scale") is not None, scale, ""),
        ("--set", science_said, before.changes, ", --set '' for the study as its file has it,"),
        ("--plugin", given.get("plugins") is not None, before.plugins, ", --plugin '' for none,"),
    ):
        if held and not said:
            words = " ".join(f"{option} {shlex.quote(text)}" for text in held)
            raise UserError(
                f"{out} was run with {words}, and this says nothing of it\n"
                f"say the same again{back} or choose another folder with --out"
            )
    return asked


def _only_how(overrides: Sequence[str]) -> bool:
    """Whether overrides say only how runs are carried out."""
    return all(text.strip().startswith(EXECUTION) for text in overrides)


def with_seeds(asked: Asked, rows: Iterable[str], seeds: Iterable[int], begun: bool) -> Asked:
    """`asked` with `seeds` asked for in `rows`, beside those asked for before (`begun`: the study's, if never said)."""
    more = tuple(seeds)
    joined = dict(asked.seeds)
    for row in rows:
        held = asked.seeds_of(row) if begun or row in asked.seeds else ()
        joined[row] = tuple(sorted({*held, *more}))
    return replace(asked, seeds=joined)


def commands(asked: Asked, planned: Mapping[str, Sequence[int]]) -> str:
    """The commands that make the table, a line each: one for all rows, or one for those of equal seeds.

    `planned`: the seeds of every row of the table.
    """
    words = ["levelfield", "study", "run", asked.source]
    words += [] if asked.scale == "full" else ["--scale", asked.scale]
    words += [word for text in asked.overrides for word in ("--set", text)]
    words += [word for path in asked.plugins for word in ("--plugin", path)]
    words += [] if asked.data_dir is None else ["--data-dir", asked.data_dir]
    groups: dict[tuple[int, ...], list[str]] = {}
    for row, seeds in planned.items():
        groups.setdefault(tuple(sorted(set(seeds))), []).append(row)
    lines = []
    for seeds, rows in groups.items():
        line = words + ([] if seeds == tuple(sorted(asked.usual)) else ["--seeds", _in_words(seeds)])
        line += [] if len(groups) == 1 else [word for row in rows for word in ("--row", row)]
        lines.append(shlex.join(line))
    return "\n".join(lines)


def _in_words(seeds: Sequence[int]) -> str:
    """As `parse_seeds` reads it: 3 for 0, 1, 2; else a list, which a lone number is not."""
    if tuple(seeds) == tuple(range(len(seeds))):
        return str(len(seeds))
    return f"{seeds[0]}-{seeds[0]}" if len(seeds) == 1 else ",".join(map(str, seeds))


def _given(values: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(text for text in values if text.strip())
