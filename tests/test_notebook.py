"""What notebooks show of values and of progress; tests/docs/test_notebooks.py runs real notebooks."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast
from xml.etree.ElementTree import fromstring

import pytest

import levelfield as lf
from levelfield import notebook
from levelfield.errors import UserError
from levelfield.progress import Progress
from levelfield.runs import RunFolder
from levelfield.tables import StudyRows, build_table
from levelfield.training.load_finished_run import LoadedRun
from levelfield.training.run import RunResult
from synthetic_runs import study

__all__ = ["study"]

RESULTS = Path(__file__).parents[1] / "results" / "cpu"
HOSTILE = "<img src=x onerror=alert(1)>"


def texts(html: str) -> list[str]:
    """All texts of HTML that is well formed, in order."""
    return [text.strip() for text in fromstring(f"<div>{html}</div>").itertext() if text.strip()]


def test_a_table_shows_its_rows_audit_and_basis(study: StudyRows) -> None:
    table = build_table(study)
    said = texts(table._repr_html_())
    assert study.question in said
    assert any(text.startswith("Fairness audit: ") for text in said)
    for row in table.rows:
        assert row.title in said
    best = table.measured[0]
    assert best.top1 is not None and f"{best.top1.value:.2f}" in said
    assert any("95 %" in text for text in said[said.index("What these numbers rest on") :])


def test_names_are_escaped(study: StudyRows) -> None:
    rows = tuple(replace(row, label=HOSTILE) for row in study.rows)
    html = build_table(replace(study, rows=rows, question=HOSTILE))._repr_html_()
    assert "<img" not in html and HOSTILE in texts(html)
    shown = lf.Study.parse({"name": "mine", "question": HOSTILE, "models": ["resnet_nano"]})._repr_html_()
    assert "<img" not in shown and HOSTILE in texts(shown)


def test_a_run_shows_its_scores(tmp_path: Path) -> None:
    result = {
        "model": HOSTILE, "data": "digits", "seed": 3, "top1": 98.765, "top5": None, "loss": 0.04321, "params": 309432,
        "macs": 3.07e6, "train_seconds": 11.6, "compile_seconds": 0.6,
    }  # fmt: skip
    folder = RunFolder(tmp_path)
    html = RunResult(result, [], folder)._repr_html_()
    read_back = cast(LoadedRun, SimpleNamespace(result=result, folder=folder))
    assert LoadedRun._repr_html_(read_back) == html
    said = texts(html)
    assert f"{HOSTILE} on digits, seed 3" in said and "<img" not in html
    assert {"98.77", "0.0432", "309,432", "3.07 M", "12 s", str(tmp_path)} <= set(said)
    assert "top-5 %" not in said


def test_a_study_says_what_it_declares() -> None:
    said = texts(lf.Study.load("quickstart")._repr_html_())
    assert "quickstart" in said and "digits" in said and "0, 1, 2" in said
    assert any("resnet_nano" in text and "vit_mini" in text for text in said)


def test_a_finished_study_becomes_data_frames() -> None:
    table = lf.read_table(RESULTS / "transfer-cpu")
    frame = table.to_pandas().set_index("row")
    assert list(frame.index) == [row.name for row in table.rows]
    for row in table.measured:
        assert row.top1 is not None and frame.loc[row.name, "top1"] == row.top1.value
    runs = lf.Study.load("transfer-cpu").to_pandas(RESULTS / "transfer-cpu")
    means = runs.groupby("row")["top1"].mean()
    for row in table.measured:
        assert row.top1 is not None and means[row.name] == pytest.approx(row.top1.value)
    assert runs.groupby("row").size().to_dict() == {row.name: row.n for row in table.measured}


def test_what_is_no_folder_of_the_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds study 'transfer-cpu', not 'quickstart'"):
        lf.Study.load("quickstart").to_pandas(RESULTS / "transfer-cpu")
    with pytest.raises(UserError, match=str(tmp_path)):
        lf.Study.load("quickstart").to_pandas(tmp_path)
    with pytest.raises(UserError, match=str(tmp_path)):
        lf.read_table(tmp_path)


def test_missing_pandas_is_said_in_two_lines(study: StudyRows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    table = build_table(study)
    assert len(table._repr_html_()) > 1000  # which does without
    with pytest.raises(UserError, match=r"^to_pandas needs pandas.*\npip install pandas$"):
        table.to_pandas()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A kernel that is none: what was drawn in its one place, in order."""
    seen: list[str] = []
    shown = SimpleNamespace(update=seen.append)
    modules = {"IPython": ModuleType("IPython"), "IPython.display": ModuleType("IPython.display")}
    modules["IPython"].get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    modules["IPython.display"].HTML = str  # type: ignore[attr-defined]
    modules["IPython.display"].display = lambda html, display_id: shown  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return seen


def test_progress_is_a_bar_in_a_notebook(drawn: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        progress.start(4, "resnet <b> seed 0")
        progress._display.every_s = 0.0
        progress.advance(1, loss="0.52")
        inner = progress.inside(2)
        inner.start(10, "inner")
        inner.advance(5)
        both = drawn[-1]
        inner.finish()
    assert 'value="0.2500"' in drawn[1] and "loss 0.52" in drawn[1] and "25 %" in drawn[1]
    assert "resnet &lt;b&gt; seed 0" in drawn[1]
    assert both.count("<progress") == 2 and both.count('value="0.5000"') == 2
    assert drawn[-1] == ""
    assert capsys.readouterr().err == ""


def test_no_notebook_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    assert not notebook.in_notebook()
    with Progress(every_s=0.0) as progress:
        progress.start(4, "run")
        progress.advance(1)
    assert "run 25 %" in capsys.readouterr().err


def test_numbers_and_intervals_stay_on_one_line() -> None:
    html = notebook.table(
        ("row", "top-1 %", "adjusted interval"),
        [("a name of several words", "1.42 G", "[−36.49, +34.14]"), ("b", "3", "undecided (about 45 more seeds)")],
    )
    cells = {
        cell.text: "nowrap" in cell.get("style", "") for cell in fromstring(html).iter() if cell.tag in ("td", "th")
    }
    assert [text for text, unbroken in cells.items() if unbroken] == ["top-1 %", "1.42 G", "[−36.49, +34.14]", "3"]
    assert len(cells) == 9
