"""The pages' tables are what the generator writes from the committed results, and say no more than was measured."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from levelfield.errors import UserError
from levelfield.page.sections.answer import answer
from levelfield.page.sections.audit import audit
from levelfield.page.sections.compared import forest_picture
from levelfield.page.sections.ranking_table import ranking_table
from levelfield.runs import write_json
from levelfield.studies.results.study_json import as_json
from levelfield.studies.results.study_request import StudyRequest
from levelfield.tables import StudyRows, build_table, read_study
from levelfield.tables.answer_to_question import statements
from levelfield.tables.repository_results import PART, fill, markdown, picture_file, studies_in, study_called
from levelfield.units import short

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md"), ROOT / "results/README.md"]
)


@pytest.fixture
def results(study: StudyRows, tmp_path: Path) -> Path:
    """A folder of results with the synthetic study, once at full scale and once reduced, and something else."""
    assert study.path is not None
    for name, scale in (("synthetic", "full"), ("cpu/synthetic", "cpu")):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        content = as_json(
            replace(study, scale=scale, description="Fewer images."),
            StudyRequest("synthetic", "synthetic", scale),
            study.path,
        )
        for row in content["rows"]:
            row["runs"] = [str(study.path / run) for run in row["runs"]]
        write_json(folder / "study.json", content)
    (tmp_path / "rank").mkdir()
    write_json(tmp_path / "rank" / "study.json", {"plan": {}})
    return tmp_path


def cells(text: str, row: str) -> list[list[str]]:
    """The cells of the lines of `row`, in the order of the tables."""
    lines = [line for line in text.splitlines() if line.startswith(f"| {row} |")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_published_measured_difference_inside(results: Path) -> None:
    assert studies_in(results) == ["cpu/synthetic", "synthetic"]
    text = markdown(results)
    full, reduced = cells(text, "resnet_mini")
    run = next(row for row in read_study(results / "synthetic").rows if row.name == "resnet_mini").runs[0].result()
    assert full[:5] == ["resnet_mini", "3", short(run["params"]), short(run["macs"]), "92.50"]
    measured, difference = float(full[5]), float(full[7].replace("−", "-"))
    assert difference == pytest.approx(measured - 92.5, abs=0.011)
    low, high = (float(part) for part in full[6].strip("[]").split(","))
    assert full[8] == ("yes" if low <= 92.5 <= high else "no")
    assert full[9:] == ["baseline", "9 min"]
    assert reduced == [*full[:7], "–", "not comparable", "baseline", "9 min"]
    assert re.fullmatch(r"−\d+\.\d\d \[.*\] worse", cells(text, "vit_mini")[0][9])
    assert cells(text, "vit_mini")[0][4] == "71.00" and cells(text, "vit_mini")[0][8] == "not comparable"
    assert cells(text, "outgrid_nano")[0][4] == "–" and cells(text, "outgrid_nano")[0][8] == "–"
    assert cells(text, "swin_mini")[0][5] == "failed" and cells(text, "efficient_mini")[0][5] == "not run"


def test_a_section_names_the_page_of_its_study_where_there_is_one() -> None:
    committed = {path.name for path in (ROOT / "docs/pages").glob("*.html")}
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    for name in studies_in(ROOT / "results"):
        section = text[text.index(f"\n### {name}\n") :].split("\n### ")[1]
        page = f"{Path(name).name}.html"
        linked = f"repeats any one run: [its page](pages/{page})." in section
        assert linked is (page in committed) and (linked or f"`levelfield report results/{name}` writes" in section)


def test_a_study_is_found_by_the_name_of_its_folder(results: Path) -> None:
    with pytest.raises(UserError, match="2 studies are called 'synthetic': cpu/synthetic, synthetic"):
        study_called("synthetic", results)
    with pytest.raises(UserError, match="0 studies are called 'none'"):
        study_called("none", results)
    assert study_called("transfer-cpu", ROOT / "results") == "cpu/transfer-cpu"


def test_reduced_scales_come_last_and_say_so(results: Path) -> None:
    text = markdown(results)
    assert text.index("### synthetic") < text.index("### cpu/synthetic") < text.index("Reduced scale `cpu`")
    assert text.count("not the study as published") == 1
    assert text.count("5 of 7 rows measured, 15 runs, 2 h 15 min of training in all") == 2 and "torch 2.13.0" in text
    full = text[text.index("### synthetic") : text.index("### cpu/synthetic")]
    leads = full.index("has the highest mean top-1")
    assert leads < full.index("| row |") < full.index("of training in all") < full.index("Fewer images.")
    assert "### synthetic" not in markdown(results, "cpu/*")
    assert markdown(results, "nothing*") == "Nothing has been measured yet.\n"


def test_the_cost_half_stands_beside_the_printed_pair(tmp_path: Path) -> None:
    speed, memory = {"ms_median": 1.5, "images_per_s": 2000.0}, {"peak_mib": 1234.5}
    row = {
        "name": "outgrid_7m", "params": 7518102, "macs": 441.9e6, "dtype": "bf16", "batch": 64,
        "latency": speed,
        "images_per_s": 12345.6, "training": speed, "memory": {"training": memory}, "noise_percent": 3.21,
        "noisy": False, "resting": True, "busy_percent": 0.4, "compiled": True, "cuda_graphs": True,
        "environment": {"gpu": "Example GPU", "packages": {"torch": "2.11.0"}},
        "published": {"printed_flops": 448.02e6, "printed_macs": 224.01e6, "convention": "MACs as FLOPs"},
    }  # fmt: skip
    plain = {**row, "name": "own", "training": None, "memory": {"training": None}, "cuda_graphs": False}
    del plain["published"]
    (tmp_path / "gpu").mkdir()
    noisy = {**row, "name": "shaken", "noisy": True, "compiled": False, "cuda_graphs": False}
    busy = {**row, "name": "busy", "resting": False, "busy_percent": 30.0}
    write_json(tmp_path / "gpu" / "profile-some.json", [row, plain, noisy, busy])
    text = markdown(tmp_path, "gpu/*")
    assert "### gpu/profile-some" in text and "Example GPU, torch 2.11.0" in text and "Printed: MACs as FLOPs." in text
    (cell,) = cells(text, "outgrid_7m")
    assert cell[1:4] == ["7,518,102", "442 M", "448 M / 224 M"]
    assert cell[4:] == ["bf16", "CUDA graphs", "64", "1.50", "12,346", "2,000", "1,234 MiB", "3.2 %"]
    own = cells(text, "own")[0]
    assert own[3] == "–" and own[5] == "compiled" and own[9:] == ["–", "–", "3.2 %"]
    assert cells(text, "shaken")[0][5:] == ["kernel by kernel", "64", *"––––", "3.2 % (noisy)"]
    assert cells(text, "busy")[0][7:] == [*"––––", "3.2 % (busy)"]


def test_an_answer_on_several_sets_has_a_paragraph_for_each() -> None:
    name = next(name for name in studies_in(ROOT / "results") if "convnext-roadmap-fgvc" in name)
    table = build_table(read_study(ROOT / "results" / name))
    text = markdown(ROOT / "results", name)
    assert len(table.panels) == 3
    for panel, said in groupby(statements(table), key=lambda statement: statement.panel):
        joined = " ".join(statement.text for statement in said)
        assert f"\n\n{f'**On {panel}:** ' if panel else ''}{joined}\n\n" in text


def test_only_marked_parts_are_written(results: Path) -> None:
    page = "before\n<!-- results of cpu/*: generated, do not edit -->\nas it was\n<!-- end of results -->\nafter\n"
    filled = fill(page, results)
    assert filled.startswith("before\n<!-- results of cpu/*: generated, do not edit -->\n\n### cpu/synthetic")
    assert filled.endswith("<!-- end of results -->\nafter\n") and "as it was" not in filled
    assert fill(filled, results) == filled
    assert fill("no part", results) == "no part"


def test_a_finding_is_a_study_in_short(results: Path) -> None:
    page = "<!-- finding of synthetic: generated, do not edit -->\nas it was\n<!-- end of finding -->\nafter\n"
    filled = fill(page, results, "docs/images")
    study = build_table(read_study(results / "synthetic")).study
    assert filled.endswith("<!-- end of finding -->\nafter\n") and "as it was" not in filled
    assert f"*{study.question}*" in filled and study.answer in filled and "### synthetic" not in filled
    assert "![Forest plot of synthetic](docs/images/forest-synthetic.svg)" in filled
    assert cells(filled, "vit_mini")[0][1] == "3" and "of training in all" in filled
    assert fill(filled, results, "docs/images") == filled
    short = fill(page.replace(" finding ", " answer "), results, "docs/images")
    assert study.answer in short and "forest-synthetic.svg" in short and not cells(short, "vit_mini")
    assert short.endswith("<!-- end of answer -->\nafter\n") and fill(short, results, "docs/images") == short


def test_committed_pages_are_what_the_generator_writes() -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    marked = [page for page, text in texts.items() if PART.search(text)]
    assert {ROOT / "docs" / "results.md", ROOT / "README.md"} <= set(marked)
    for page in marked:
        text, images = texts[page], os.path.relpath(ROOT / "docs" / "images", page.parent)
        assert fill(text, ROOT / "results", images) == text, (
            f"{page} differs from results/: python benchmarks/results_table.py --write {page}"
        )


def test_every_forest_plot_that_a_page_shows_is_drawn_of_the_committed_results() -> None:
    """Its names and verdicts; how wide they are depends on the fonts at hand."""
    tables = {name: build_table(read_study(ROOT / "results" / name)) for name in studies_in(ROOT / "results")}
    drawn = {picture_file(name): picture for name, table in tables.items() if (picture := forest_picture(table))}
    shown = set(re.findall(r"\(images/(forest-[^)]+)\)", (ROOT / "docs/results.md").read_text(encoding="utf-8")))
    committed = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs/images").glob("forest-*")}
    assert shown == drawn.keys() == committed.keys()
    for name, picture in drawn.items():
        assert re.findall(r">([^<>]+)</text>", committed[name]) == re.findall(r">([^<>]+)</text>", picture), name


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "pages").glob("*.html")), ids=lambda page: page.stem)
def test_committed_reports_show_the_committed_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(text.encode()) < 5_000_000
    table = build_table(read_study(ROOT / "results" / study_called(page.stem, ROOT / "results")))
    for part in (answer(table), audit(table), ranking_table(table)):
        assert part.html() in text, f"{page} differs from results/: python benchmarks/results_table.py --pages {page}"
