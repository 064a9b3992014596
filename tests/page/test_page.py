"""The page: what it holds as a file, and how it behaves in headless Chromium.

The browser tests need Chromium and axe-core (`AXE_JS`, or node_modules/axe-core in the clone or global). Without them
they skip, unless REQUIRE_BROWSER=1.
"""

import base64
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from levelfield.page.charts.chart import PALETTE, colours, singled_out
from levelfield.page.charts.forest import LINE, forest, forest_of_steps
from levelfield.page.charts.lines_with_bands import lines_with_bands
from levelfield.page.charts.trade_offs import ticks_around
from levelfield.page.markup import bullets, paragraph
from levelfield.page.page import page, write_page
from levelfield.page.sections.compared import forest_picture
from levelfield.page.thumbnails import images_in
from levelfield.studies.declared.study import StudySpec
from levelfield.studies.declared.study_file import list_studies
from levelfield.tables import Row, StudyRows, build_table
from levelfield.tables.answer_to_question import statements
from synthetic_runs import spec_of, write_run

REPOSITORY = Path(__file__).parents[2]
SECTIONS = (
    "answer", "differences", "audit", "table", "decisions", "p0-accuracy", "p0-learning", "p0-errors", "p0-examples",
    "analysis-compression",
    "words", "runs", "details", "configuration", "environment", "notes", "reproduce", "cite",
)  # fmt: skip
"""In the order of the page: the answer first."""


def thumbnail(index: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), (index % 256, 90, 120)).save(out, "PNG")
    return out.getvalue()


RUNG = {
    "model": "vit_mini", "top1_mean": 70.0, "top1": [70.0], "steps": 100, "params_m": 0.3, "macs_m": 20.0,
    "size_mib": 1.2, "latency_ms": 3.0,
}  # fmt: skip
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><text y="15">µ → ±</text></svg>'


@pytest.fixture(scope="module")
def html(study: StudyRows) -> str:
    """The page of the study, in whose folder an analysis lies."""
    assert study.path is not None
    analysis = study.path / "analysis"
    analysis.mkdir()
    (analysis / "compression.json").write_text(json.dumps([RUNG]))
    (analysis / "compression.svg").write_text(PICTURE, encoding="utf-8")
    return page(build_table(study), thumbnail)


def test_the_page_is_one_small_file_without_network(html: str) -> None:
    assert len(html.encode()) < 5_000_000
    markup = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    targets = re.findall(r"""(?:src|href)\s*=\s*["']?([^"'\s>]+)""", markup)
    assert targets
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert not re.search(r"@import|url\(", markup)


def test_the_page_holds_every_section(html: str) -> None:
    for section in SECTIONS:
        assert f'id="{section}"' in html
    assert re.findall(r'<section id="([^"]+)"', html) == re.findall(r'<li><a href="#([^"]+)"', html) == list(SECTIONS)
    for word in (
        "What is decided is about this test set",
        "loss is not finite at step 80",
        "McNemar",
        "not run",
        "@misc{",
    ):
        assert word in html
    assert html.count("data:image/png;base64,") == 24
    assert base64.b64encode(thumbnail(0))[:20].decode() in html


def test_equal_results_make_equal_bytes(study: StudyRows, html: str) -> None:
    """Whenever they are written: the page states no time of its own, nor could runs tell one."""
    assert page(build_table(study), thumbnail) == html
    footer = re.findall(r"<footer>.*?</footer>", html)
    assert footer == [f"<footer>Written by levelfield {version('levelfield')}. It needs no network.</footer>"]


def section(html: str, anchor: str) -> str:
    return re.findall(rf'<section id="{anchor}".*?</section>', html, re.DOTALL)[0]


def test_the_answer_stands_before_everything_else_without_intervals(study: StudyRows, html: str) -> None:
    said = section(html, "answer")
    for statement in statements(build_table(study)):
        assert escape(statement.text) in said
    assert "[" not in said and html.index(said) < html.index("<nav")


def test_failed_seeds_stand_in_the_table_and_among_the_runs(html: str) -> None:
    table, runs = section(html, "table"), section(html, "runs")
    assert "1 of 1 failed" in table
    assert "16 runs: 15 finished, 1 failed or diverged." in runs
    assert "swin_mini, seed 0: diverged: loss is not finite at step 80" in runs
    assert len(re.findall(r"<tr data-of=", runs)) == 16


def test_marks_lead_to_notes(html: str) -> None:
    marks = re.findall(r'<a href="#(note-\d+)" class="mark"', section(html, "table"))
    listed = re.findall(r'<li id="(note-\d+)"', section(html, "notes"))
    assert marks and set(marks) == set(listed)
    assert "on a laptop" in section(html, "notes") and "on a laptop" not in section(html, "table")


def test_many_rows_are_coloured_by_group_and_few_of_their_lines_singled_out(tmp_path: Path) -> None:
    rows = [
        Row(f"r{i}", group="even" if i % 2 == 0 else "odd",
            runs=(write_run(tmp_path / f"r{i}", spec_of(f"r{i}"), skill=3 + i / 10, images=60),))
        for i in range(11)
    ]  # fmt: skip
    table = build_table(rows, "r5")
    of = colours(table.rows)
    assert len(set(of.values())) == 2 and of["r0"] == of["r2"] != of["r1"]
    names, note = singled_out(table.measured)
    best = [row.name for row in table.measured]
    assert names == {*best[:3], "r5", *best[-2:]} and "of 11 rows" in note
    assert note.strip() in page(table)
    assert len(set(colours(table.rows[:8]).values())) == 8 and singled_out(table.measured[:8])[1] == ""


def test_the_forest_reaches_as_far_as_it_can_be_read(study: StudyRows) -> None:
    table = build_table(study)
    (panel, comparison), *_ = table.panels.items()
    rows = [row for row in table.measured if row.panel == panel]
    chart = forest(rows, comparison, "f")
    assert chart is not None
    values = chart.spec["data"]["values"]
    assert [value["row"] for value in values] == [row.name for row in rows]
    for row, value in zip(rows, values, strict=True):
        if row.to_baseline is not None:
            assert (value["difference"], value["low"]) == (row.to_baseline.estimate, row.to_baseline.low)
    region = chart.spec["layer"][0]["data"]["values"]
    assert region == [{"low": -comparison.margin, "high": comparison.margin}]


def test_the_forest_shows_no_difference_that_two_scores_cannot_have(study: StudyRows) -> None:
    table = build_table(study)
    (panel, comparison), *_ = table.panels.items()
    rows = [row for row in table.measured if row.panel == panel]
    wide = []
    for row in rows:
        pair = row.to_baseline
        far = pair and replace(pair, low=-240.0, high=80.0, widest_low=-300.0, widest_high=300.0)
        wide.append(replace(row, to_baseline=far))
    chart = forest(wide, comparison, "f")
    assert chart is not None
    told = [value for value in chart.spec["data"]["values"] if "low" in value]
    ends = {(value["low"], value["high"], value["widest_low"], value["widest_high"]) for value in told}
    assert ends == {(-100.0, 80.0, -100.0, 100.0)}


def test_what_stands_between_backticks_is_code() -> None:
    assert paragraph("as `a & b` says") == "<p>as <code>a &amp; b</code> says</p>"
    assert bullets(["`levelfield data list`", "one ` alone"]) == (
        "<ul><li><code>levelfield data list</code></li><li>one ` alone</li></ul>"
    )


def test_a_row_of_one_epoch_is_a_dot_where_no_line_can_be() -> None:
    point = {"row": "a", "name": "a", "epoch": 1, "mean": 50.0, "low": 40.0, "high": 60.0, "shown": True}

    def dots(values: list[dict[str, object]]) -> list[list[str]]:
        layers = lines_with_bands({}, values, "epoch", "epoch", "top-1")["layer"]
        return [
            layer["transform"][1]["filter"]["oneOf"]
            for layer in layers
            if layer["mark"].get("filled") and layer["mark"]["opacity"] == 1
        ]

    longer = [point | {"row": "b"}, point | {"row": "b", "epoch": 2}]
    assert dots([point, *longer]) == [["a"]]
    assert dots(longer) == []


def test_a_long_name_of_a_step_takes_two_lines_on_a_phone(study: StudyRows) -> None:
    table = build_table(study)
    (panel, comparison), *_ = table.panels.items()
    rows = [row for row in table.measured if row.panel == panel]

    def on_a_phone(name: str) -> str:
        chart = forest_of_steps(rows, comparison, "f", [(name, "mobile_mini", "convnext_mini")])
        assert chart is not None
        return json.dumps(chart.spec["usermeta"]["narrow"])

    assert "labelExpr" in on_a_phone("depthwise convolution moved up, kernel of seven (III to IV)")
    assert "labelExpr" not in on_a_phone("GELU")


@pytest.mark.parametrize("name", list_studies())
def test_names_of_shipped_steps_fit_in_two_lines_of_a_phone(name: str) -> None:
    """As the chart breaks them: at the last space of the first 46 letters."""
    for step in StudySpec.load(name).steps:
        space = step.name[:LINE].rfind(" ")
        assert len(step.name) <= LINE or (space > 0 and len(step.name[space + 1 :]) <= LINE + 6), step.name


def test_steps_have_a_forest_of_their_own_on_page_and_in_the_picture(study: StudyRows) -> None:
    """A step is the row after it minus the row before it; without steps the picture is of the baseline."""
    steps = (("mobile to convnext", "mobile_mini", "convnext_mini"), ("never run", "mobile_mini", "efficient_mini"))
    table = build_table(replace(study, steps=steps))
    (panel, comparison), *_ = table.panels.items()
    rows = [row for row in table.measured if row.panel == panel]
    chart = forest_of_steps(rows, comparison, "f", steps)
    assert chart is not None and forest_of_steps(rows, comparison, "f", steps[1:]) is None
    (value,) = chart.spec["data"]["values"]
    pair = comparison.between("convnext_mini", "mobile_mini")
    assert pair is not None and pair.estimate is not None and pair.estimate > 0
    assert (value["difference"], value["low"], value["high"]) == (pair.estimate, pair.low, pair.high)
    assert "mobile to convnext" in section(page(table), "steps") and 'id="steps"' not in page(build_table(study))
    of_steps, of_rows = forest_picture(table), forest_picture(build_table(study))
    assert of_steps is not None and "mobile to convnext" in of_steps and "never run" not in of_steps
    assert of_rows is not None and "Differences to resnet_mini" in of_rows and of_rows.count("worse") >= 3


def test_the_picture_of_several_test_sets_has_each_ones_rows_and_only_what_was_decided(tmp_path: Path) -> None:
    """The last set is undecided: both rows are one network there, of equal skill."""
    rows = [
        Row(f"{data}-{name}", runs=tuple(
            write_run(tmp_path / data / name / str(seed), spec_of("m", seed, data), skill) for seed in range(3)
        ))
        for data, skills in (("cifar10", (4.5, 2.0)), ("cifar100", (4.5, 3.0)), ("digits", (4.0, 4.0)))
        for name, skill in zip(("first", "second"), skills, strict=True)
    ]  # fmt: skip
    table = build_table(rows)
    assert list(table.panels) == ["cifar10", "cifar100", "digits"]
    assert table.decided_panels == ["cifar10", "cifar100"]
    picture = forest_picture(table)
    assert picture is not None
    named = re.findall(r">([a-z0-9]+-(?:first|second))</text>", picture)
    assert named == ["cifar10-first", "cifar10-second", "cifar100-first", "cifar100-second"]


def test_pictures_are_kept_where_the_data_is_not(study: StudyRows, html: str) -> None:
    held = images_in(html)
    assert len(held) == 24 and all(picture == thumbnail(index) for index, picture in held.items())
    assert page(build_table(study), held.get) == html


def test_of_several_test_sets_the_first_sections_are_linked(tmp_path: Path) -> None:
    rows = [
        Row(data, runs=(write_run(tmp_path / data, spec_of("a", data=data), images=300),))
        for data in ("cifar10", "digits")
    ]
    links = re.findall(r'<li><a href="#([^"]+)"', page(build_table(rows)))
    assert [link for link in links if link.startswith("p")] == ["p0-accuracy", "p1-accuracy"]


def test_where_nothing_is_decided_there_is_no_matrix(tmp_path: Path) -> None:
    rows = [Row(name, runs=(write_run(tmp_path / name, spec_of(name), images=60),)) for name in "abc"]
    assert "Undecided is every one of the 3 pairs" in section(page(build_table(rows)), "decisions")


def test_what_users_named_is_escaped(tmp_path: Path) -> None:
    evil = "</script><b>x"
    row = Row(evil, declared=(spec_of("a"),), notes=(evil,))
    written = tmp_path / "report.html"
    write_page(build_table(StudyRows(evil, (row,), question=evil)), written)
    assert evil not in written.read_text(encoding="utf-8")


def test_a_study_without_any_result_has_a_page(tmp_path: Path) -> None:
    rows = tuple(Row(name, declared=(spec_of(name),)) for name in ("a", "b"))
    html = page(build_table(StudyRows("empty", rows)))
    assert html.count("not run") >= 2
    assert "Nothing was measured yet" in html
    assert 'id="differences"' not in html and 'id="cite"' not in html


@pytest.mark.parametrize("ground", ["#ffffff", "#191d23"])
def test_marks_stand_out_on_light_and_dark(ground: str) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in PALETTE:
        high, low = sorted((luminance(colour), luminance(ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 2.9, colour


def missing(what: str) -> None:
    message = f"{what}; install Debian's chromium and npm's axe-core to run the browser tests"
    if os.environ.get("REQUIRE_BROWSER") == "1":
        pytest.fail(message)
    pytest.skip(message)


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        missing("no Chromium on the PATH")
    assert found is not None
    return found


@pytest.fixture(scope="module")
def axe() -> str:
    places = [Path(os.environ["AXE_JS"])] if os.environ.get("AXE_JS") else []
    places.append(REPOSITORY / "node_modules" / "axe-core" / "axe.min.js")
    if npm := shutil.which("npm"):
        root = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=False).stdout.strip()
        places.append(Path(root) / "axe-core" / "axe.min.js")
    for place in places:
        if place.is_file():
            return place.read_text(encoding="utf-8")
    missing("no axe-core")
    raise AssertionError


def visit(chromium: str, html: str, axe: str, tmp_path: Path, dark: bool, width: int) -> dict[str, Any]:
    """Open the page with the harness inside, and return what it saw."""
    early = """<script>window.seenErrors = [];
    addEventListener("error", (e) => seenErrors.push(String(e.message)));
    addEventListener("unhandledrejection", (e) => seenErrors.push(String(e.reason)));
    for (const kind of ["error", "warn"]) { const plain = console[kind];
      console[kind] = (...what) => { seenErrors.push(kind + ": " + what.join(" ")); plain(...what); }; }
    </script>"""
    harness = (Path(__file__).parent / "harness.js").read_text(encoding="utf-8")
    late = "".join(f"<script>{code}</script>" for code in (axe.replace("</script", "<\\/script"), harness))
    under_test = html.replace("<head>", "<head>" + early, 1)
    head, _, tail = under_test.rpartition("</body>")
    (tmp_path / "page.html").write_text(head + late + "</body>" + tail, encoding="utf-8")
    frame = f"""<body style="margin:0"><iframe src="page.html" style="border:0;width:{width}px;height:900px"></iframe>
    <script>addEventListener("message", (event) => {{
      const outcome = document.createElement("script");
      outcome.type = "application/json";
      outcome.id = "outcome";
      outcome.textContent = event.data.replaceAll("<", "\\u003c");
      document.body.append(outcome);
    }});</script>"""
    file = tmp_path / "frame.html"  # a window cannot be as narrow as a phone, a frame can
    file.write_text(frame, encoding="utf-8")
    command = [
        chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={max(width, 500)},900",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--virtual-time-budget=60000", "--dump-dom", file.as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    outcome = re.search(r'<script type="application/json" id="outcome">(.*?)</script>', dom, flags=re.DOTALL)
    assert outcome is not None, dom[-2000:]
    return dict(json.loads(outcome[1]))


@pytest.fixture(scope="module", params=[(False, 1400), (True, 390)], ids=["light and wide", "dark phone"])
def seen(
    request: pytest.FixtureRequest, chromium: str, axe: str, html: str, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    dark, width = request.param
    outcome = visit(chromium, html, axe, tmp_path_factory.mktemp("browser"), dark, width)
    assert (outcome["dark"], outcome["width"]) == (dark, width)
    return outcome


def test_no_console_errors_and_every_chart_is_drawn(seen: dict[str, Any]) -> None:
    assert seen["errors"] == []
    assert seen["drawn"] == seen["places"] >= 4


def test_nothing_in_the_document_leads_to_the_network(seen: dict[str, Any]) -> None:
    assert all(link.startswith(("#", "data:")) for link in seen["links"])


def test_the_page_is_no_wider_than_the_window(seen: dict[str, Any]) -> None:
    assert seen["overflow"] <= 0


def test_the_table_fits_and_is_stacked_on_a_phone(seen: dict[str, Any]) -> None:
    assert seen["cut"] <= 0
    assert seen["stacked"] == (seen["width"] == 390)


def test_rows_stand_in_the_order_of_their_ranks(seen: dict[str, Any]) -> None:
    assert seen["order"] == seen["falling"]


def test_labels_do_not_collide(seen: dict[str, Any]) -> None:
    assert seen["labels"] >= 10
    assert seen["collisions"] == 0


def test_labels_follow_a_chart_whose_width_changes(seen: dict[str, Any]) -> None:
    before, after = seen["ends"]
    assert before == after >= 3 and seen["apart"] < 1


def test_the_row_under_the_pointer_stands_out_in_every_chart(seen: dict[str, Any]) -> None:
    assert set(seen["parts"]) >= {"vit_mini", "resnet_mini"}
    assert seen["faint"] == [row for row in seen["parts"] if row != "vit_mini"]


def test_a_mark_shows_its_note_by_keyboard(seen: dict[str, Any]) -> None:
    assert seen["tip"] == seen["note"] != ""
    assert seen["tipAfterEscape"]


def test_figures_and_tables_are_saved(seen: dict[str, Any]) -> None:
    _, data, table, runs, picture = seen["saved"]
    assert picture == PICTURE
    assert seen["unsaved"] == []
    assert seen["svg"]["root"] == "svg" and seen["svg"]["marks"] >= 5 and seen["svg"]["unstyled"] == 0
    lines = data.splitlines()
    assert lines[0].startswith("row,name,") and {line.split(",")[0] for line in lines[1:]} >= {
        "vit_mini",
        "resnet_mini",
    }
    assert table.splitlines()[0].startswith("row,seeds,top-1 %") and len(table.splitlines()) == 1 + 7
    assert len(runs.splitlines()) == 1 + 16
    assert seen["download"] == "synthetic-compression-picture.svg"


def test_every_chart_has_its_figures_in_a_table_by_keyboard(seen: dict[str, Any]) -> None:
    assert seen["withoutFigures"] == [] and seen["unreachable"] == 0 and seen["overflowOpen"] <= 0
    assert len(seen["figures"]) == seen["places"]
    for key, table in seen["figures"].items():
        assert table["head"][0] == "row" and "" not in table["head"], key
        assert table["rows"] == seen["data"][key] > 0 and table["empty"] == 0, key
    assert {"difference", "low", "high", "said"} <= set(seen["figures"]["p0-differences"]["head"])


def test_names_and_the_matrix_are_whole_on_a_phone(seen: dict[str, Any]) -> None:
    """The longest name of the study is cut by nothing, and the matrix of decisions fits its card."""
    assert seen["matrix"] <= 0
    assert seen["cutNames"] == {"p0-differences": [], "p0-dots": [], "p0-decisions": []}
    columns, names = seen["matrixLabels"]
    if seen["width"] == 390:
        assert columns == ["1", "2", "3", "4", "5"]
        assert [name.split()[0] for name in names] == columns
    else:
        assert set(columns) == set(names) >= {"vit_mini", "resnet_mini"}


@pytest.mark.parametrize(
    ("costs", "ticks"),
    [
        ((0.31e6, 1.4e6), [2e5, 5e5, 1e6, 2e6]),
        ((1e6, 1e6), [5e5, 1e6, 2e6]),
        ((2e5, 5e6), [2e5, 5e5, 1e6, 2e6, 5e6]),
        ((1.2e6, 4.4e9), [1e6, 1e7, 1e8, 1e9, 5e9]),
        ((0.03, 0.7), [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]),
    ],
)
def test_ticks_of_a_cost_end_no_nearer_than_its_points(costs: tuple[float, float], ticks: list[float]) -> None:
    assert ticks_around(costs) == pytest.approx(ticks)
    assert ticks[0] <= min(costs) and max(costs) <= ticks[-1]


def test_charts_follow_dark_and_light(seen: dict[str, Any]) -> None:
    assert seen["labelText"] == ("rgb(228, 232, 237)" if seen["dark"] else "rgb(28, 33, 40)")
    assert seen["text"] == ("rgb(163, 173, 184)" if seen["dark"] else "rgb(89, 98, 110)")


def test_sorting(seen: dict[str, Any]) -> None:
    measured = [float(value) for value in seen["falling"] if value]
    assert len(measured) == 5
    assert measured == sorted(measured, reverse=True)
    assert [float(value) for value in seen["rising"] if value] == measured[::-1]
    assert seen["falling"][5:] == seen["rising"][5:] == ["", ""]  # rows without a value stay at the end
    assert seen["byName"] == sorted(seen["byName"])


def test_filtering_and_hiding(seen: dict[str, Any]) -> None:
    assert seen["filtered"] == ["vit_mini"]
    assert seen["filteredCount"] == "1 of 7 rows"
    assert seen["restored"] == seen["all"]
    assert (seen["before"], seen["after"], seen["pressed"]) == (1, 0, "false")
    assert set(seen["all"]) - set(seen["withoutVit"]) == {"vit_mini"}


def test_axe_finds_nothing(seen: dict[str, Any]) -> None:
    assert seen["axeRules"] > 20
    assert seen["axe"] == []
