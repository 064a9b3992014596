"""`hub:OWNER/NAME[@REVISION]`: a repository of the Hugging Face Hub as a place that runs and weights come from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from levelfield.errors import UserError

HUB: Final = "hub:"
REPOSITORY: Final = re.compile(r"(?=.{3,96}$)(?!.*(--|\.\.))\w[\w.-]*/\w[\w.-]*(?<![.-])(?<!\.git)", re.ASCII)
COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class HubSource:
    """A repository, and a branch, a tag or a commit of it (None: its main branch)."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{HUB}{self.repo}" + (f"@{self.revision}" if self.revision else "")

    @property
    def pinned(self) -> bool:
        """Whether it names a commit, whose content never changes."""
        return self.revision is not None and COMMIT.fullmatch(self.revision) is not None


def hub_source(source: str) -> HubSource | None:
    """What `source` names on the Hub; None where it is no `hub:` source. Raises UserError for one that names none."""
    if not source.startswith(HUB):
        return None
    repo, at, revision = source.removeprefix(HUB).partition("@")
    if at and (not revision or re.search(r"[\s@~^:?*\[\\]|\.\.", revision)):
        raise UserError(f"{source!r} names no revision\ngive a branch, a tag or a commit: {HUB}OWNER/NAME@REVISION")
    return HubSource(repository(repo), revision or None)


def repository(name: str) -> str:
    """`name`, which must be one of a repository. Raises UserError where it is none."""
    if REPOSITORY.fullmatch(name) is None:
        raise UserError(
            f"{name!r} names no repository of the Hugging Face Hub\n"
            "give OWNER/NAME, of letters, digits, '-', '_' and '.', 96 of them at most"
        )
    return name
