"""The notebooks run from top to bottom, show what they say they show, and are committed without outputs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from needed import need

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "notebooks"
SHOWN = {
    "first_comparison": ["Fairness audit: ", "resnet_nano", "vit_mini", "0, 1, 2", "report.html"],
    "own_model": ["small on digits, seed 0", "macro avg", "resnet_nano", "Fairness audit: No unfairness"],
    "finished_study": ["Fairness audit: ", "outgrid_14m_mbconv_only", "undecided", "of 1,000 test images"],
}
"""By notebook, what its outputs hold."""


def test_every_notebook_is_listed() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_no_outputs_are_committed(name: str) -> None:
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code and not [cell for cell in code if cell["outputs"] or cell["execution_count"]]


@pytest.mark.parametrize("name", SHOWN)
def test_the_notebook_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need("nbclient", "nbformat", "ipykernel", "pandas", of="DOCS")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LEVELFIELD_NATIVE", "0")  # which an empty cache would build
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    at = FOLDER if name == "finished_study" else tmp_path
    NotebookClient(notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": str(at)}}).execute()
    said = " ".join(_texts(notebook))
    for words in SHOWN[name]:
        assert words in said, said[:3000]
    if name != "finished_study":
        assert not list(FOLDER.glob("runs"))
        assert "<progress" not in said  # bars go when their work is done


def _texts(notebook: Any) -> list[str]:
    """What the outputs show, HTML before plain text; each tag is a space."""
    found = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
            shown = output.get("data", {})
            text = shown.get("text/html") or shown.get("text/plain") or output.get("text", "")
            found.append(re.sub(r"</?(?!progress)\w[^>]*>", " ", text))
    return found


def test_work_shows_a_bar_in_a_kernel() -> None:
    need("nbclient", "nbformat", "ipykernel", of="DOCS")
    import nbformat
    from nbclient import NotebookClient

    cells = [
        "from levelfield.progress import Progress\nbars = Progress()\nbars.start(4, 'training')\nbars.note('a note')",
        "bars.finish()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3")
    with client.setup_kernel(env={**os.environ, "PYTHONPATH": str(ROOT / "src")}):
        client.execute_cell(notebook.cells[0], 0)
        during = " ".join(_texts(notebook))
        assert '<progress max="1" value="0.0000"' in during and "training" in during and "a note" in during
        client.execute_cell(notebook.cells[1], 1)
        assert "<progress" not in " ".join(_texts(notebook))
