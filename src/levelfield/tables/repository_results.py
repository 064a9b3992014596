"""Results kept in a repository as Markdown: for every study what was published, what was measured, and the difference.

A page holds marked parts, which `fill` writes anew from the folders of finished studies and nothing else:

    <!-- results of cpu/*: generated, do not edit -->
    ...
    <!-- end of results -->

    <!-- finding of small/simple-convnext: generated, do not edit -->
    ...
    <!-- end of finding -->

A finding is one study in short: its question, answer, picture and rows; `answer` in place of `finding` leaves out the
rows. The pattern (fnmatch) chooses among the studies' folders, and the profiles of studies' networks (`profile-*.json`,
what `levelfield profile --study` prints), by their path below the folder of results.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.tables.answer_to_question import statements
from levelfield.tables.cost_columns import trusted
from levelfield.tables.make_table import build_table
from levelfield.tables.number_format import NONE, interval, percent, short, whole
from levelfield.tables.read_folder import read_study
from levelfield.tables.table import StudyTable, TableRow
from levelfield.tables.text.columns import against_baseline, against_published, seeds
from levelfield.tables.text.footnotes import footnotes
from levelfield.tables.text.markdown import pipe_table
from levelfield.units import duration

PART: Final = re.compile(
    r"<!-- (?P<kind>results|finding|answer) of (?P<name>\S+): generated, do not edit -->\n.*?<!-- end of (?P=kind) -->",
    re.S,
)
HEADER: Final = (
    "row", "seeds", "parameters", "MACs", "published", "measured top-1 %", "95 % interval", "difference",
    "inside the interval", "to baseline", "a run took",
)  # fmt: skip
COST_HEADER: Final = (
    "network", "parameters", "MACs", "printed FLOPs / MACs", "type", "carried out", "batch", "ms at batch 1",
    "images/s", "images/s in training", "peak in training", "noise",
)  # fmt: skip
SHORT_COMMIT: Final = 12


def fill(page: str, results: Path, images: str = "images") -> str:
    """`page` with every marked part written anew from the studies below `results`; `images`: the folder of pictures as
    the page names it. Whole pages of studies are in docs/pages beside `results`, and `pages` beside `images`."""
    whole = sorted((results.resolve().parent / "docs" / "pages").glob("*.html"))
    pages = [(Path(images).parent / "pages" / each.name).as_posix() for each in whole]

    def written(part: re.Match[str]) -> str:
        kind, name = part["kind"], part["name"]
        if kind == "results":
            body = markdown(results, name, images, pages)
        else:
            body = (finding if kind == "finding" else answer)(build_table(read_study(results / name)), name, images)
        return f"<!-- {kind} of {name}: generated, do not edit -->\n\n{body}\n<!-- end of {kind} -->"

    return PART.sub(written, page)


def markdown(results: Path, pattern: str = "*", images: str = "images", pages: Collection[str] = ()) -> str:
    """A section for every study and profile below `results` whose path matches, studies at full scale first."""
    tables = {
        name: build_table(read_study(results / name))
        for name in studies_in(results)
        if fnmatch.fnmatchcase(name, pattern)
    }
    order = sorted(tables, key=lambda name: (_reduced(tables[name]), name))
    sections = [section(tables[name], name, images, _page_of(name, pages)) for name in order]
    for path in sorted(results.rglob("profile-*.json")):
        name = path.relative_to(results).with_suffix("").as_posix()
        if fnmatch.fnmatchcase(name, pattern):
            sections.append(cost_section(json.loads(path.read_text(encoding="utf-8")), name))
    return "\n".join(sections) or "Nothing has been measured yet.\n"


def studies_in(results: Path) -> list[str]:
    """The folders below `results` that hold a study, as paths relative to it."""
    found = []
    for path in sorted(results.rglob("study.json")):
        if "rows" in json.loads(path.read_text(encoding="utf-8")):
            found.append(path.parent.relative_to(results).as_posix())
    return found


def study_called(name: str, results: Path) -> str:
    """The path below `results` of the study whose folder is called `name`; UserError where not one is."""
    found = [path for path in studies_in(results) if Path(path).name == name]
    if len(found) != 1:
        raise UserError(
            f"{results}: {len(found)} studies are called {name!r}" + (f": {', '.join(found)}" if found else "")
        )
    return found[0]


def picture_file(name: str) -> str:
    """The file of a study's forest plot among a page's images, which `results_table.py --pictures` writes."""
    return f"forest-{name.replace('/', '-')}.svg"


def finding(table: StudyTable, name: str, images: str) -> str:
    """One study in short, for a page that has little room: what it asks, what was found, and its rows."""
    return answer(table, name, images, pipe_table(table))


def answer(table: StudyTable, name: str, images: str, rows: Sequence[str] = ()) -> str:
    """One study shorter still: what it asks and what was found, with `rows` below the picture."""
    lines = [f"*{table.study.question}*", "", *_answer(table), *_picture(table, name, images)]
    lines += [*rows, ""] if rows else []
    return "\n".join([*lines, f"`{table.study.command}`; {_state(table)}. {_measured_on(table)}".strip()]) + "\n"


def _answer(table: StudyTable) -> list[str]:
    """The answer, with a paragraph of its own for each test set where there are several."""
    said = statements(table)
    if not any(statement.panel for statement in said):
        return [table.study.answer, ""] if table.study.answer else []
    paragraphs = groupby(said, key=lambda statement: statement.panel)
    texts = [(panel, " ".join(statement.text for statement in of_panel)) for panel, of_panel in paragraphs]
    return [line for panel, text in texts for line in (f"**On {panel}:** {text}" if panel else text, "")]


def _picture(table: StudyTable, name: str, images: str) -> list[str]:
    return [f"![Forest plot of {name}]({images}/{picture_file(name)})", ""] if table.decided_panels else []


def _page_of(name: str, pages: Collection[str]) -> str | None:
    return next((page for page in pages if Path(page).stem == Path(name).name), None)


def section(table: StudyTable, name: str, images: str = "images", page: str | None = None) -> str:
    """One study: what it asks, what was found, its rows, how it was made and what the numbers rest on; and where more
    of it stands, `page`."""
    study = table.study
    lines = [f"### {name}", "", f"*{study.question}*", ""]
    if _reduced(table):
        lines += [f"**Reduced scale `{study.scale}`, not the study as published:** {study.description}", ""]
    lines += _answer(table)
    lines += _picture(table, name, images)
    lines += ["| " + " | ".join(HEADER) + " |", "|---|" + "---:|" * (len(HEADER) - 1)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in table.rows]
    lines += ["", f"`{study.command}`; {_state(table)}. {_measured_on(table)}".strip(), ""]
    if study.description and not _reduced(table):
        lines += [study.description, ""]
    where = f"[its page]({page})" if page else f"the page that `levelfield report results/{name}` writes"
    lines += [f"Every comparison, all that is to be mentioned, and the command that repeats any one run: {where}.", ""]
    lines += [f"Fairness: {table.audit.verdict}", ""]
    lines += [f"- {finding.text}" for finding in (*table.audit.unfair, *table.audit.of("declared"))]
    lines += [f"- {line}" for line in footnotes(table)]
    return "\n".join(lines) + "\n"


def cost_section(profiles: Sequence[Mapping[str, Any]], name: str) -> str:
    """The profiles of a study's networks, a line for each network, type and batch."""
    machines = _listed(_machine(row["environment"]) for row in profiles)
    conventions = _listed(row["published"]["convention"] for row in profiles if "published" in row)
    lines = [
        f"### {name}",
        "",
        f"Measured on {machines}, torch {_listed(_version(r['environment']) for r in profiles)}.",
    ]
    lines.append("MACs: convolutions, linear layers and attention products of one image.")
    lines.append("Time and memory are left out where the machine did not rest or repeated timings disagree.")
    if conventions:
        lines.append(f"Printed: {conventions}.")
    lines += ["", "| " + " | ".join(COST_HEADER) + " |", "|---|" + "---:|" * (len(COST_HEADER) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(_cost_cells(row)) + " |" for row in profiles)]) + "\n"


def _cost_cells(row: Mapping[str, Any]) -> list[str]:
    pair, training, memory = row.get("published"), row["training"], row["memory"]["training"]
    engine = "CUDA graphs" if row.get("cuda_graphs") else "compiled" if row.get("compiled") else "kernel by kernel"
    measured = [
        f"{row['latency']['ms_median']:.2f}", whole(row["images_per_s"]),
        whole(training["images_per_s"]) if training else NONE, f"{memory['peak_mib']:,.0f} MiB" if memory else NONE,
    ]  # fmt: skip
    return [
        row["name"], f"{row['params']:,}", short(row["macs"]),
        f"{short(pair['printed_flops'])} / {short(pair['printed_macs'])}" if pair else NONE,
        row["dtype"], engine, str(row["batch"]), *(measured if trusted(row) else [NONE] * len(measured)),
        f"{row['noise_percent']:.1f} %" + (" (noisy)" if row["noisy"] else "")
        + ("" if row.get("resting") else " (not known to rest)" if row.get("busy_percent") is None else " (busy)"),
    ]  # fmt: skip


def _cells(row: TableRow) -> list[str]:
    published, difference, inside = against_published(row)
    if row.top1 is None:
        return [row.title, seeds(row), NONE, NONE, published, row.state, NONE, NONE, NONE, NONE, NONE]
    took = row.means.get("train_seconds")
    against = " ".join(part for part in against_baseline(row) if part)
    return [
        row.title, seeds(row), *(short(row.means.get(cost)) for cost in ("params", "macs")), published,
        percent(row.top1.value), interval(row.top1), difference or NONE,
        {"inside": "yes", "outside": "no", "": NONE}.get(inside, inside), against or NONE,
        NONE if took is None else duration(took),
    ]  # fmt: skip


def _reduced(table: StudyTable) -> bool:
    return table.study.scale not in ("", "full")


def _state(table: StudyTable) -> str:
    finished = {
        run.file if run.folder is None else run.folder.path: run for row in table.rows for run in row.runs.finished
    }  # rows may share runs
    comparable = [row.published.inside for row in table.rows if row.published is not None]
    text = f"{len(table.measured)} of {len(table.rows)} rows measured, {len(finished)} runs"
    seconds = [float((run.result or {}).get("train_seconds") or 0.0) for run in finished.values()]
    text += f", {duration(sum(seconds))} of training in all" if any(seconds) else ""
    told = [inside for inside in comparable if inside is not None]
    return text + (f", {sum(told)} of {len(told)} published values where one further run would fall" if told else "")


def _measured_on(table: StudyTable) -> str:
    """The machines, versions and commits that the runs name, each once."""
    found = [run.folder.environment() for row in table.rows for run in row.runs.finished if run.folder is not None]
    if not found:
        return ""
    parts = [_listed(_machine(each) for each in found), "torch " + _listed(_version(each) for each in found)]
    commits = _listed(str(each["git_commit"])[:SHORT_COMMIT] for each in found if each.get("git_commit"))
    return "Measured on " + ", ".join(parts) + (f", commit {commits}." if commits else ".")


def _machine(environment: Mapping[str, Any]) -> str:
    gpu = environment.get("gpu")
    threads = environment.get("threads", "?")
    return str(gpu) if gpu else f"{environment.get('processor', 'a CPU')}, {threads} thread{'s' * (threads != 1)}"


def _version(environment: Mapping[str, Any]) -> str:
    return str(environment.get("packages", {}).get("torch", "?"))


def _listed(words: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(words))
