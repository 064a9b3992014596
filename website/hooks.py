"""What mkdocs asks for while it builds the site: reference pages filled from the code, files of the repository added.

`mkdocs.yml` names this file. mkdocs puts its folder on the path while it is loaded.
"""

from __future__ import annotations

from pathlib import Path

from command_reference import commands
from key_reference import keys
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from outside_docs import Outside

MARKS = {"<!-- filled by make docs: commands -->": commands, "<!-- filled by make docs: keys -->": keys}
ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to outside of docs/, and what that links to."""
    outside = Outside(ROOT)
    for file in list(files.documentation_pages()):
        outside.follow(f"docs/{file.src_uri}", (ROOT / "docs" / file.src_uri).read_text(encoding="utf-8"))
    for path, place in outside.places.items():
        if place.endswith(".md"):
            files.append(File.generated(config, place, content=outside.page(path)))
        else:
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    config.extra["outside"] = outside
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fill the marks, and turn links that leave docs/ to where the site has their targets."""
    for mark, fill in MARKS.items():
        if mark in markdown:
            markdown = markdown.replace(mark, fill())
    outside: Outside = config.extra["outside"]
    return outside.turned(page.file.src_uri, markdown)
