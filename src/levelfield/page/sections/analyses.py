"""What `levelfield analyze` wrote into a study's folder, as sections of its page: each only where it was computed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from levelfield.errors import UserError
from levelfield.page.figure import save
from levelfield.page.listed_images import ImageOf
from levelfield.page.markup import bullets, folded, line, paragraph, table, tag, text
from levelfield.page.section import Section
from levelfield.page.sections.attention import attention
from levelfield.page.sections.calibration import calibration
from levelfield.page.sections.curves import curves
from levelfield.page.sections.energy import energy
from levelfield.page.sections.errors import errors
from levelfield.page.sections.overlays import overlays
from levelfield.page.sections.robustness import robustness
from levelfield.tables.number_format import percent
from levelfield.tables.table import StudyTable
from levelfield.tables.text import ladder

Make = Callable[[StudyTable, Any, ImageOf | None], Section]
FOLDER: Final = "analysis"
"""Where in a study's folder `levelfield analyze --out` puts what its page is to show."""


def analyses(table: StudyTable, image_of: ImageOf | None = None) -> list[Section]:
    """A section for each analysis that lies in the folder of a study; none without a folder. `image_of`: thumbnails of
    the first measured panel's test images.

    Raises UserError for a file that is not what `levelfield analyze` writes.
    """
    if table.study.path is None:
        return []
    found = []
    for stem, make in SECTIONS.items():
        path = table.study.path / FOLDER / f"{stem}.json"
        if path.is_file():
            try:
                found.append(make(table, json.loads(path.read_text(encoding="utf-8")), image_of))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                raise UserError(
                    f"{path} cannot be read: {error!r}\nrun levelfield analyze again, or remove it"
                ) from None
    return found


def _without_images(make: Callable[[StudyTable, Any], Section]) -> Make:
    return lambda table, answer, image_of: make(table, answer)


def _pictured(
    stem: str, title: str, shown: Callable[[list[dict[str, Any]]], list[str]],
    since: Callable[[StudyTable, list[dict[str, Any]]], str] = lambda table, answer: "",
) -> Make:  # fmt: skip
    """The section of an analysis that drew its own picture; `since`: what has come since it was made."""

    def make(table: StudyTable, answer: Any, image_of: ImageOf | None) -> Section:
        assert table.study.path is not None
        picture = _figure(table.study.path / FOLDER / f"{stem}.svg", stem, title)
        return Section(f"analysis-{stem}", title, "".join([since(table, answer), picture, *shown(answer)]))

    return make


def _figure(path: Path, stem: str, title: str) -> str:
    buttons = save("table", f"{stem}-table", "CSV", f"Save the table of {title}")
    if not path.is_file():
        return tag("div", buttons, class_="save")
    source, key = "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode(), f"{stem}-picture"
    picture = f'<img id="{key}" src="{source}" alt="{text(title)}: the figures are in the table below">'
    buttons = save("image", key, "SVG", f"Save the picture of {title}") + buttons
    return tag("figure", tag("div", buttons, class_="save") + picture, class_="paper")


def _since_ladder(table: StudyTable, rungs: list[dict[str, Any]]) -> str:
    """A note where the table has runs that the ladder has not, or with other weights; else ""."""
    if not all("runs" in rung for rung in rungs):
        return ""
    known = {identity: weights for rung in rungs for identity, weights in rung["runs"].items()}
    folders = [run.folder for row in table.measured for run in row.runs.finished if run.folder is not None]
    if all(folder.identity in known and known[folder.identity] == folder.weights_digest() for folder in folders):
        return ""
    said = "Made before some runs of this table were there, or were carried out again"
    return paragraph(f"{said}: levelfield analyze compression again.", class_="note")


def _ladder(rungs: list[dict[str, Any]]) -> list[str]:
    under = ladder.headings(rungs)
    made = [heading for heading in ladder.MADE if heading in under]
    numbers = [heading for heading in under if heading not in made]
    lines = (line(*ladder.cells(rung, numbers), words=ladder.made_in_words(rung) if made else None) for rung in rungs)
    note = " ".join(ladder.notes(rungs))
    columns = [*numbers, *made[-1:]]
    return [paragraph(note, class_="note"), table(columns, lines, "The ladder, largest first", "compression-table")]


def _ranks(networks: list[dict[str, Any]]) -> list[str]:
    columns = (
        "network", "top-1 %", "mean rank / d_out", "mean effective rank / d_out", "bottlenecks", "directions lost",
        "final rank", "final nuclear norm",
    )  # fmt: skip
    lines = []
    for network in networks:
        summary = network["summary"]
        lines.append(line(
            f"{network['title']}, {network['state']}", percent(network["top1"]),
            percent(summary["filled"], 3), percent(summary["effective"], 3),
            f"{summary['bottlenecks']} of {summary['judged']}", summary["lost"],
            f"{summary['final_rank']} of {summary['final_width']}", percent(summary["final_nuclear_norm"]),
        ))  # fmt: skip
    advice = [
        folded(
            f"{network['title']}, {network['state']}: {len(network['advice'])} bottlenecks",
            bullets(f"{one['layer']}: {one['finding']}; {one['remedy']}" for one in network["advice"]),
        )
        for network in networks
        if network["advice"]
    ]
    note = f"Features of {networks[0]['images']} images of {networks[0]['data']}, layer by layer."
    return [
        paragraph(note, class_="note"),
        table(columns, lines, "Ranks, network by network", "network-rank-table"),
        *advice,
    ]


SECTIONS: Final[dict[str, Make]] = {
    "errors": errors,
    "curves": _without_images(curves),
    "calibration": _without_images(calibration),
    "robustness": _without_images(robustness),
    "attention": _without_images(attention),
    "overlays": overlays,
    "energy": _without_images(energy),
    "compression": _pictured("compression", "What remains when it is made smaller", _ladder, _since_ladder),
    "network-rank": _pictured("network-rank", "Rank of the features", _ranks),
}
"""By the stem of its file in the folder, in the order of the page."""
