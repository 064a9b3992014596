"""The NeurIPS paper checklist: what the results prove is answered with its evidence; the rest is left to the author.

Questions: https://neurips.cc/public/guides/PaperChecklist. No answer is yes unless every run of the table shows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from levelfield.paper.compute_tex import UNKNOWN, hardware, train_seconds
from levelfield.paper.ledger import PROVIDE, Ledger
from levelfield.tables.lists_in_words import counted, listed
from levelfield.tables.reproduce import setups, without_data_place
from levelfield.tables.runs_of_row import Trained
from levelfield.tables.table import StudyTable
from levelfield.tables.text.latex_words import latex_with_breaks as latex

Proof = Callable[[StudyTable], tuple[bool, str]]
"""Whether the results prove "yes", and the evidence; else why they do not."""

MACROS: Final = r"""\providecommand{\answerYes}[1][]{\textbf{[Yes]} #1}
\providecommand{\answerNo}[1][]{\textbf{[No]} #1}
\providecommand{\answerNA}[1][]{\textbf{[NA]} #1}
\providecommand{\answerTODO}[1][]{\textbf{[TODO: the author's to answer]} #1}"""


def checklist_tex(table: StudyTable, ledger: Ledger) -> str:
    """An enumeration of the sixteen questions with answers and justifications."""
    lines = [PROVIDE, MACROS, ledger.study_comment(), r"\section*{NeurIPS paper checklist}", r"\begin{enumerate}"]
    for title, question, proof in QUESTIONS:
        yes, said = (False, "no result says this.") if proof is None else proof(table)
        answer = r"\answerYes{}" if yes else r"\answerTODO{}"
        kind = "Justification" if yes else "What the results say"
        shown = ledger.of(said, f"checklist: {title}") if proof is not None else said
        lines += [
            rf"\item \textbf{{{latex(title)}}}\\ Question: {latex(question)}\\",
            rf"Answer: {answer}\\ {kind}: {shown}",
        ]
    return "\n".join([*lines, r"\end{enumerate}"]) + "\n"


def _others(table: StudyTable) -> list[str]:
    """Rows with runs that levelfield did not train."""
    return [row.title for row in table.measured if not all(isinstance(run, Trained) for run in row.runs.finished)]


def _incomplete(table: StudyTable) -> list[str]:
    return [row.title for row in table.rows if row.top1 is None]


def reproducible(table: StudyTable) -> tuple[bool, str]:
    """Every row measured, and a command that makes every run of it again."""
    if others := _others(table):
        return False, f"runs of {listed(others)} were not trained by levelfield: nothing repeats them."
    if missing := _incomplete(table):
        return False, f"{listed(missing)} has no finished run." if len(missing) == 1 else (
            f"{listed(missing)} have no finished run."
        )  # fmt: skip
    found = setups(table)
    without = [row.title for row in table.rows if not all(setup.commands for setup in found.get(row.name, ()))]
    if not table.rows or without or len(found) < len(table.rows):
        return False, f"no command makes the runs of {listed(without or ['the rows'])} again."
    runs = sum(len(row.runs.finished) for row in table.rows)
    how = f"`{without_data_place(table.study.command)}` makes the study again; " if table.study.command else ""
    return True, (
        f"{how}for each of {counted(runs, 'run')} the whole configuration, seed, versions and threads are on record, "
        "with a command that takes them (levelfield report)."
    )


def settings_told(table: StudyTable) -> tuple[bool, str]:
    """Every row's configuration is known, so that the methods paragraph is complete."""
    if others := _others(table):
        return False, f"how {listed(others)} was trained is not on record."
    if not table.measured:
        return False, "there is no finished run."
    return True, (
        "the methods paragraph names every setting that is used and not at its default, of every row, and the split, "
        "the checksum of the data and the seeds; all others are at levelfield's defaults."
    )


def significance(table: StudyTable) -> tuple[bool, str]:
    """Every measured row has an interval over at least two seeds."""
    if not table.measured:
        return False, "there is no finished run."
    bare = [row.title for row in table.measured if row.n < 2 or row.top1 is None or row.top1.low is None]
    if bare:
        return False, f"{listed(bare)}: one seed alone, or no interval over seeds."
    fewest = min(row.n for row in table.measured)
    return True, (
        f"every mean has a 95 % interval over seeds (at least {fewest} a row), differences are decided by tests within "
        "one family (Holm), and the note below the table says by which and under which assumptions."
    )


def compute_told(table: StudyTable) -> tuple[bool, str]:
    """Worker, memory and time of every run are on record."""
    runs = [run for row in table.rows for run in row.runs.finished]
    if not runs:
        return False, "there is no finished run."
    if without := [run for run in runs if train_seconds(run) is None or hardware(run) == UNKNOWN]:
        return False, f"{counted(len(without), 'run')} of {len(runs)} have no time or machine on record."
    if bare := [run for run in runs if run.folder is None or not run.folder.environment().get("gpu_memory_mib")]:
        return False, (
            f"workers and hours of all runs stand in the compute statement; the memory of the machine is not on record "
            f"for {counted(len(bare), 'run')}, and what was spent before this study is not either: add both."
        )
    return True, (
        "the compute statement gives worker, memory and hours of every row and in all; what was spent before this "
        "study is not on record."
    )


def open_data(table: StudyTable) -> tuple[bool, str]:
    """Never proved: a public set is by its checksum, but whether the author's code is open no result says."""
    specs = [spec for row in table.rows for spec in row.runs.specs[:1]]
    names = list(dict.fromkeys(spec.data.name for spec in specs if not spec.data.own_place))
    own = any(spec.data.own_place for spec in specs)
    said = f"data: {listed(names, 8)}, checked by content; " if names else ""
    return False, said + (
        "some data lie in a place of the author's; " if own else ""
    ) + "whether the code is open, no result says."


QUESTIONS: Final[tuple[tuple[str, str, Proof | None], ...]] = (
    ("Claims", "Do the main claims made in the abstract and introduction accurately reflect the paper's contributions "
     "and scope?", None),
    ("Limitations", "Does the paper discuss the limitations of the work performed by the authors?", None),
    ("Theory assumptions and proofs", "For each theoretical result, does the paper provide the full set of assumptions "
     "and a complete (and correct) proof?", None),
    ("Experimental result reproducibility", "Does the paper fully disclose all the information needed to reproduce the "
     "main experimental results of the paper to the extent that it affects the main claims and/or conclusions of the "
     "paper (regardless of whether the code and data are provided or not)?", reproducible),
    ("Open access to data and code", "Does the paper provide open access to the data and code, with sufficient "
     "instructions to faithfully reproduce the main experimental results, as described in supplemental material?",
     open_data),
    ("Experimental setting/details", "Does the paper specify all the training and test details (e.g., data splits, "
     "hyperparameters, how they were chosen, type of optimizer, etc.) necessary to understand the results?",
     settings_told),
    ("Experiment statistical significance", "Does the paper report error bars suitably and correctly defined or other "
     "appropriate information about the statistical significance of the experiments?", significance),
    ("Experiments compute resources", "For each experiment, does the paper provide sufficient information on the "
     "computer resources (type of compute workers, memory, time of execution) needed to reproduce the experiments?",
     compute_told),
    ("Code of ethics", "Does the research conducted in the paper conform, in every respect, with the NeurIPS Code of "
     "Ethics?", None),
    ("Broader impacts", "Does the paper discuss both potential positive societal impacts and negative societal impacts "
     "of the work performed?", None),
    ("Safeguards", "Does the paper describe safeguards that have been put in place for responsible release of data or "
     "models that have a high risk for misuse?", None),
    ("Licenses for existing assets", "Are the creators or original owners of assets (e.g., code, data, models), used "
     "in the paper, properly credited and are the license and terms of use explicitly mentioned and properly "
     "respected?", None),
    ("New assets", "Are new assets introduced in the paper well documented and is the documentation provided alongside "
     "the assets?", None),
    ("Crowdsourcing and research with human subjects", "For crowdsourcing experiments and research with human "
     "subjects, does the paper include the full text of instructions given to participants and screenshots, if "
     "applicable, as well as details about compensation (if any)?", None),
    ("Institutional review board (IRB) approvals", "Does the paper describe potential risks incurred by study "
     "participants, whether such risks were disclosed to the subjects, and whether IRB approvals (or an equivalent "
     "approval/review based on the requirements of your country or institution) were obtained?", None),
    ("Declaration of LLM usage", "Does the paper describe the usage of LLMs if it is an important, original, or "
     "non-standard component of the core methods in this research?", None),
)  # fmt: skip
"""Title, question, and what proves a yes; None where no result can."""
