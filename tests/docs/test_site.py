"""The site that `make docs` builds: complete, without a link that leads nowhere, and readable without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import levelfield
from needed import need

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.xdist_group("site")


class Page(HTMLParser):
    """The ids of a page, what it links to, and what it loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.ids |= {given[key] for key in ("id", "name") if key in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next"):
            self.loads.append(given["href"])
        elif "src" in given:
            self.loads.append(given["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("mkdocs", "material", "mkdocstrings", of="DOCS")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return out


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    """Every page but those of studies, which tests/page looks at."""
    files = [path for path in site.rglob("*.html") if path.parent != site / "pages"]
    return {path: Page(path.read_text(encoding="utf-8")) for path in files}


def test_every_page_of_docs_is_there(site: Path) -> None:
    names = [path.relative_to(ROOT / "docs").with_suffix(".html") for path in (ROOT / "docs").rglob("*.md")]
    assert len(names) > 20
    assert [str(name) for name in names if not (site / name).is_file()] == []
    assert (site / "repository/examples/one_file.py.html").is_file()


def test_no_link_leads_nowhere(site: Path, pages: dict[Path, Page]) -> None:
    broken = []
    followed = 0
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            if re.match(r"[a-z]+:", link) or (path.name == "404.html" and link.startswith("/")):
                continue
            target, _, anchor = unquote(link).partition("#")
            there = (path.parent / target.partition("?")[0]).resolve() if target else path
            followed += 1
            if not there.exists() or (anchor and there in pages and anchor not in pages[there].ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert followed > 1000
    assert broken == []


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loads = [load for page in pages.values() for load in page.loads]
    assert len(loads) > 100
    assert [load for load in loads if re.match(r"([a-z]+:)?//", load)] == []
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path


def test_the_reference_is_whole(site: Path) -> None:
    from test_commands import every_command

    from levelfield.spec import Recipe
    from levelfield.spec.key_descriptions import descriptions

    said = (site / "reference/commands.html").read_text(encoding="utf-8")
    for words in every_command():
        assert f'id="levelfield-{"-".join(words)}"' in said, words
    keys = (site / "reference/keys.html").read_text(encoding="utf-8")
    for key in Recipe.model_fields:
        assert f"<code>{key}</code>" in keys
    assert keys.count("<td>px</td>") >= 4
    assert descriptions(Recipe)["batch_size"].text in keys
    names = (site / "reference/python.html").read_text(encoding="utf-8")
    for name in levelfield.__all__:
        assert re.search(rf'id="levelfield[\w.]*\.{name}"', names), name


def test_it_is_read_and_searched_without_a_network(site: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        assert os.environ.get("REQUIRE_BROWSER") != "1", "no Chromium"
        pytest.skip("no Chromium")
    done = subprocess.run(
        [
            chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND",
            "--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom",
            f"file://{site}/index.html?q=overdispersion",
        ],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert "matching document" in done.stdout
    assert "explanation/statistics.html" in done.stdout[done.stdout.index("md-search-result__list") :]
    assert "Uncaught" not in done.stderr and "ERR_" not in done.stderr, done.stderr[-2000:]
