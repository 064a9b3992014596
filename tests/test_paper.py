"""The paper of a study: sound LaTeX that compiles, every number with its runs, and no yes that nothing proves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from levelfield.cli.app import app
from levelfield.errors import UserError
from levelfield.paper.checklist_tex import QUESTIONS
from levelfield.paper.ledger import Ledger
from levelfield.paper.methods_tex import settings_of
from levelfield.paper.write_paper import write_paper
from levelfield.runs import RunFolder, write_json
from levelfield.spec import Distil, Prune, PruneChannels, QuantizeAware, list_recipes, load_recipe
from levelfield.tables import Row, StudyRows, build_table, read_study
from levelfield.tables.text.latex_words import latex_with_breaks as latex
from levelfield.tables.users_table import UsersTable
from synthetic_runs import spec_of, study, write_run

__all__ = ["study"]

RESULTS = Path(__file__).parents[1] / "results" / "cpu"
STUDIES = ("transfer-cpu", "synthetic")
ODD = "50%_of & $x$ {#1} ~a^b\\c <d|e> \"q\" 'r' −1 ≈ é 가"
NUMBER = re.compile(r"\\lffrom\{(n\d+)\}")


@pytest.fixture(scope="module")
def tables(study: StudyRows) -> dict[str, UsersTable]:
    return {"transfer-cpu": build_table(read_study(RESULTS / "transfer-cpu")), "synthetic": build_table(study)}


@pytest.fixture(scope="module")
def papers(tables: dict[str, UsersTable], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    for name, table in tables.items():
        write_paper(table, folder / name)
    return folder


def odd_study(root: Path) -> StudyRows:
    """Rows whose names hold everything that means something to TeX."""
    rows = [
        Row(name=name, label=label, runs=tuple(write_run(root / name / f"s{s}", spec_of(name, s)) for s in range(2)))
        for name, label in (("resnet_mini", ODD), ("vit_mini", "100 % {"))
    ]
    return StudyRows(name="odd_%&", rows=tuple(rows), question=f"Is {ODD} better?", notes=("}{ $ % stay",), path=root)


def parts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.tex")}


@pytest.mark.parametrize("name", STUDIES)
def test_every_number_of_the_table_leads_to_the_runs_of_its_row(
    papers: Path, tables: dict[str, UsersTable], name: str
) -> None:
    table = tables[name]
    ledger = json.loads((papers / name / "numbers.json").read_text(encoding="utf-8"))
    entries = {entry["key"]: entry for entry in ledger["numbers"]}
    text = "\n".join(parts(papers / name).values())
    assert set(NUMBER.findall(text)) == set(entries) and len(entries) > 20
    for entry in entries.values():
        assert set(entry["runs"]) <= set(ledger["runs"])
        assert bool(entry["runs"]) == (entry["what"] != "the value that its author printed"), entry
        assert rf"\lffrom{{{entry['key']}}}{{{latex(entry['shown'])}}}" in text
    for row in table.measured:
        assert row.top1 is not None
        (mean,) = (each for each in entries.values() if each["rows"] == [row.name] and "test top-1" in each["what"])
        assert mean["value"] == row.top1.value and mean["shown"] == f"{row.top1.value:.2f}"
        identities = {run.folder.identity for run in row.runs.finished if run.folder is not None}
        assert {ledger["runs"][short]["identity"] for short in mean["runs"]} == identities
        comment = f"% {row.name}: runs {', '.join(mean['runs'])}"
        assert comment in parts(papers / name)["table.tex"]


def test_no_digit_stands_in_the_rows_of_a_table_without_its_key(papers: Path, tables: dict[str, UsersTable]) -> None:
    for name, table in tables.items():
        lines = parts(papers / name)["table.tex"].splitlines()
        body = lines[lines.index(r"\midrule") : lines.index(r"\bottomrule")]
        lines_of_rows = [line for line in body if " & " in line]
        assert len(lines_of_rows) == len(table.rows)
        for line in lines_of_rows:
            title, _, rest = re.sub(r"\\lffrom\{n\d+\}\{(?:[^{}]|\{\})*\}", "", line).partition(" & ")
            assert title in {latex(row.title) for row in table.rows} and not re.search(r"\d", rest), (name, line)


def test_a_result_that_changes_changes_the_paper(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(RESULTS / "transfer-cpu", folder)
    write_paper(build_table(read_study(folder)), tmp_path / "before")
    run = RunFolder(next(folder.glob("cub-scratch/*/")))
    result = run.result()
    assert result is not None
    write_json(run.path / "result.json", {**result, "top1": result["top1"] + 3, "train_seconds": 7200.0})
    write_paper(build_table(read_study(folder)), tmp_path / "after")
    before, after = parts(tmp_path / "before"), parts(tmp_path / "after")
    assert {name for name in before if before[name] != after[name]} >= {"table.tex", "compute.tex"}
    figure = Path("figures", "set2-ranking.pdf")
    assert (tmp_path / "before" / figure).read_bytes() != (tmp_path / "after" / figure).read_bytes()


@pytest.mark.parametrize("name", list_recipes())
def test_the_methods_name_every_setting_of_a_recipe_that_is_not_at_its_default(name: str, tmp_path: Path) -> None:
    spec = spec_of("resnet_mini").changed({"recipe": load_recipe(name).recipe})
    table = build_table([Row(name="a", runs=(write_run(tmp_path / "a", spec_of("resnet_mini")),), declared=(spec,))])
    row = table.rows[0]
    table = replace(table, rows=(replace(row, runs=replace(row.runs, specs=(spec,))),))
    from levelfield.paper.methods_tex import methods_tex

    ledger = Ledger(table)
    text = methods_tex(table, ledger)
    said = {entry["what"]: entry for entry in ledger.numbers}
    settings = settings_of(spec)
    assert settings["data.interpolation"] == "bilinear" and any(key.startswith("recipe.") for key in settings)
    for key in settings:
        assert said[key]["value"] == settings[key] and said[key]["key"] in text


def test_a_paper_says_how_much_was_pruned_and_taught_where_that_is_the_default() -> None:
    changes = {"prune": Prune(), "prune_channels": PruneChannels(), "quantize_aware": QuantizeAware()}
    changes |= {"distil": Distil(teacher="runs/big", teacher_identity="0" * 64)}
    said = settings_of(spec_of("resnet_nano").changed({f"recipe.{key}": value for key, value in changes.items()}))
    assert {key: value for key, value in said.items() if key.partition(".")[2].partition(".")[0] in changes} == {
        "recipe.prune.share": 0.5, "recipe.prune.scope": "global", "recipe.prune_channels.share": 0.5,
        "recipe.prune_channels.of": "macs", "recipe.quantize_aware.momentum": 0.01, "recipe.distil.form": "soft",
        "recipe.distil.temperature": 4.0, "recipe.distil.weight": 0.5,
    }  # fmt: skip


def test_the_checklist_says_yes_only_where_every_run_shows_it(study: StudyRows, tmp_path: Path) -> None:
    def answers(rows: StudyRows, out: str) -> list[bool]:
        write_paper(build_table(rows), tmp_path / out)
        text = parts(tmp_path / out)["checklist.tex"]
        found = re.findall(r"Answer: \\answer(Yes|TODO)\{\}", text)
        assert len(found) == len(QUESTIONS) == 16
        return [answer == "Yes" for answer in found]

    titles = [title for title, _, _ in QUESTIONS]
    whole = answers(read_study(RESULTS / "transfer-cpu"), "whole")
    yes = {title for title, answer in zip(titles, whole, strict=True) if answer}
    assert yes == {"Experimental result reproducibility", "Experimental setting/details",
                   "Experiment statistical significance"}  # fmt: skip
    broken = answers(study, "broken")  # a row that failed, one never run, and runs without processor or threads
    assert not broken[titles.index("Experimental result reproducibility")]
    assert not broken[titles.index("Experiments compute resources")]
    single = replace(study, rows=tuple(replace(row, runs=row.runs[:1]) for row in study.rows[:3]))
    assert not answers(single, "single")[titles.index("Experiment statistical significance")]
    rows = []
    for row in study.rows[:3]:
        runs = []
        for run in row.runs:
            folder = tmp_path / "gpu" / row.name / run.path.name
            shutil.copytree(run.path, folder)
            write_json(folder / "environment.json", {"gpu": "Example GPU", "gpu_memory_mib": 81920})
            runs.append(RunFolder(folder))
        rows.append(replace(row, runs=tuple(runs)))
    assert answers(replace(study, rows=tuple(rows)), "gpu")[titles.index("Experiments compute resources")]
    compute = parts(tmp_path / "gpu")["compute.tex"]
    assert "9 runs on Example GPU (80.0 GiB): 1.35 h of training" in compute
    assert "energy of training was not measured" in compute and "Energy of inference" not in compute


def test_the_latex_is_sound_to_a_parser_whatever_names_hold(papers: Path, tmp_path: Path) -> None:
    walker = pytest.importorskip(
        "pylatexenc.latexwalker", reason="pylatexenc is not installed (pip install pylatexenc)"
    )
    write_paper(build_table(odd_study(tmp_path / "runs")), tmp_path / "odd")
    for folder in (tmp_path / "odd", *(papers / name for name in STUDIES)):
        for name, text in parts(folder).items():
            try:
                nodes, _, length = walker.LatexWalker(text, tolerant_parsing=False).get_latex_nodes(pos=0)
            except walker.LatexWalkerParseError as error:
                pytest.fail(f"{folder.name}/{name}: {error}")
            assert length == len(text) and nodes
            for bare in "_#^&":
                outside = re.sub(r"(?m)(?<!\\)%.*$", "", text)
                outside = re.sub(r"\\begin\{tabular\}.*?\\end\{tabular\}", "", outside, flags=re.DOTALL)
                outside = re.sub(r"\\(includegraphics|label|input|providecommand).*", "", outside)
                assert not re.search(rf"(?<!\\){re.escape(bare)}", outside.replace("$^\\circ$", "")), (name, bare)


@pytest.mark.skipif(
    shutil.which("pdflatex") is None or shutil.which("make") is None,
    reason="no TeX is installed (texlive-latex-base, texlive-latex-recommended)",
)
def test_one_command_compiles_it(papers: Path, tmp_path: Path) -> None:
    write_paper(build_table(odd_study(tmp_path / "runs")), tmp_path / "odd")
    for folder in (tmp_path / "odd", papers / "synthetic"):
        done = subprocess.run(
            ["make", "-C", str(folder)], capture_output=True, text=True, errors="replace", timeout=300
        )
        log = (folder / "paper.log").read_text(encoding="utf-8", errors="replace")
        assert done.returncode == 0, log[-2000:]
        assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF")
        assert "Missing character" not in log and "undefined" not in log


def test_a_paper_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "paper"
    command = ["paper", str(RESULTS / "transfer-cpu"), "--out", str(out)]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    (out / "checklist.tex").write_text("my answers")
    second = CliRunner().invoke(app, command)
    assert isinstance(second.exception, UserError) and "--force" in str(second.exception)
    assert (out / "checklist.tex").read_text() == "my answers"
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    assert (out / "checklist.tex").read_text() != "my answers"


def test_a_study_without_a_finished_run_has_no_paper(study: StudyRows, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no finished run"):
        write_paper(build_table(replace(study, rows=study.rows[-1:], baseline=None)), tmp_path / "paper")
    assert not (tmp_path / "paper").exists()
