"""Files outside of docs/ that pages link to: taken into the site, so that no link leaves it; folders lose theirs."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path

FENCED = re.compile(r"(^```.*?^```\s*?$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
ELSEWHERE = ("http://", "https://", "mailto:", "#")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".sh": "bash", ".txt": "text", ".toml": "toml"}


class Outside:
    """`places`: by path in the repository, the path in the site of each file that was met outside of docs/."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.places: dict[str, str] = {}

    def follow(self, path: str, markdown: str) -> None:
        """Take in what the page at `path` (in the repository) links to outside of docs/."""
        for target in self._targets(path, markdown):
            if self._inside(target) or target in self.places or not (self.root / target).is_file():
                continue
            text = Path(target).suffix in {".md", ".ipynb", *LANGUAGES}
            self.places[target] = f"repository/{target.removesuffix('.md')}.md" if text else f"repository/{target}"
            if target.endswith(".md"):
                self.follow(target, (self.root / target).read_text(encoding="utf-8"))

    def page(self, path: str) -> str:
        """The page of the site for a text file of the repository."""
        text = (self.root / path).read_text(encoding="utf-8")
        if path.endswith(".md"):
            return text
        if path.endswith(".ipynb"):
            return f"*The cells of `{path}`.*\n\n{_cells(text)}"
        return f"# {path}\n\n````{LANGUAGES[Path(path).suffix]}\n{text}````\n"

    def turned(self, place: str, markdown: str) -> str:
        """The page at `place` (in the site) with its links to outside of docs/ leading to where the site has them."""
        home = {site: path for path, site in self.places.items()}
        path = home.get(place, f"docs/{place}")

        def turn(link: re.Match[str]) -> str:
            image, words, whole = link.groups()
            if whole.startswith(ELSEWHERE):
                return link[0]
            target, _, anchor = whole.partition("#")
            there = _joined(path, target)
            if self._inside(there) and path == f"docs/{place}":
                return link[0]
            if self._inside(there):
                there = there.removeprefix("docs/")
            elif there in self.places:
                there = self.places[there]
            elif (self.root / there).exists():
                return words if words.startswith("`") else f"{words} (`{there}`)"
            else:
                return link[0]
            relative = posixpath.relpath(there, posixpath.dirname(place) or ".")
            return f"{image}[{words}]({relative}{'#' + anchor if anchor else ''})"

        parts = FENCED.split(markdown)
        return "".join(part if number % 2 else LINK.sub(turn, part) for number, part in enumerate(parts))

    def _targets(self, path: str, markdown: str) -> list[str]:
        links = (whole for _, _, whole in LINK.findall(FENCED.sub("", markdown)) if not whole.startswith(ELSEWHERE))
        return [_joined(path, whole.partition("#")[0]) for whole in links]

    def _inside(self, target: str) -> bool:
        return target.startswith("docs/")


def _joined(path: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def _cells(notebook: str) -> str:
    """The cells of a notebook as Markdown, without outputs."""
    parts = []
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(parts) + "\n"
