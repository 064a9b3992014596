"""Every link of every page of Markdown leads somewhere, and every page that the source names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "benchmarks/**/*.md", "results/README.md", "examples/**/*.md")
    for path in ROOT.glob(pattern)
)
FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
ELSEWHERE = ("http://", "https://", "mailto:")


def links(page: Path) -> list[str]:
    """The targets of a page's links and images, without those of its code."""
    text = re.sub(r"`[^`\n]*`", lambda code: code[0].replace("[", " "), FENCE.sub("", page.read_text(encoding="utf-8")))
    return [target for target in LINK.findall(text) if not target.startswith(ELSEWHERE)]


def anchors(page: Path) -> set[str]:
    """The ids that a page's headings get, by the rule that GitHub and the site share, and those that it states."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    found = set(re.findall(r"(?:<a id=\"|\{ ?#)([\w.-]+)", text))
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r" *\{[:#][^}]*\}$", "", heading))
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).strip().replace(" ", "-")
        number = 0
        while slug + (f"-{number}" if number else "") in found:
            number += 1
        found.add(slug + (f"-{number}" if number else ""))
    return found


def test_there_are_pages_and_links() -> None:
    assert {"README.md", "docs/ARCHITECTURE.md", "docs/explanation/statistics.md"} <= set(PAGES)
    assert sum(len(links(ROOT / page)) for page in PAGES) > 50


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    broken = []
    for target in links(ROOT / page):
        path, _, anchor = target.partition("#")
        there = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        missing = not there.exists() or not there.is_relative_to(ROOT)
        if missing or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def test_every_page_that_the_source_names_is_there() -> None:
    files = [path for folder in ("src", "benchmarks", "tests") for path in (ROOT / folder).rglob("*.py")]
    files += (ROOT / "src").rglob("*.yaml")
    named = {
        (name, path.relative_to(ROOT).as_posix())
        for path in files
        for name in re.findall(r"\bdocs/[\w./-]+\.(?:md|html|png)", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 5
    assert sorted((name, path) for name, path in named if not (ROOT / name).is_file()) == []


def test_every_page_of_docs_has_its_place_in_the_site() -> None:
    """`mkdocs build --strict` refuses a page that the navigation lacks; this says it where mkdocs is not installed."""
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    placed = re.findall(r"[\w/-]+\.md", str(nav))
    there = [page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")]
    assert sorted(placed) == sorted(there), "name new pages under nav in mkdocs.yml"
