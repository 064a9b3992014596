"""Runs in repositories of the Hugging Face Hub: fetched into its cache, always by commit, and asked for in one place.

What goes wrong on the way is told in a line of our own: what a server says may repeat what it was sent, a token too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from levelfield.errors import UserError
from levelfield.spec.hub_source import HubSource, hub_source

T = TypeVar("T")
WEIGHTS: Final = "model.safetensors"
"""What the Hub, and timm, call a network's weights."""
RUN: Final = "run.json"
FETCHED: Final = (RUN, "result.json", "environment.json", "calibration.json", WEIGHTS)
LOG_IN: Final = "for a repository of your own: hf auth login, or HF_TOKEN with the right to it"
_TRANSPORT: Final = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "huggingface_hub", "hf_xet")
"""Packages whose exceptions say that the Hub, or the way to it, failed."""


def place(source: str) -> Path:
    """The path that `source` names; of `hub:OWNER/NAME[@REVISION]` the folder of that commit in the Hub's cache.

    Raises UserError for a repository or revision that is not there, and where neither cache nor Hub is within reach.
    """
    named = hub_source(source)
    return Path(source) if named is None else _fetched(named)


def at_commit(source: str) -> str:
    """`source` with the commit that its branch or tag is at now; as it is where it is no `hub:` source. See `place`."""
    named = hub_source(source)
    if named is None or named.pinned:
        return source
    return str(replace(named, revision=_fetched(named).name))


def same_repository(one: str, other: str) -> bool | None:
    """Whether two `hub:` sources may be the same: one repository, and not two commits of it. None for other sources."""
    first, second = hub_source(one), hub_source(other)
    if first is None or second is None:
        return None if first is second else False
    return first.repo == second.repo and (first == second or not (first.pinned and second.pinned))


def asked(what: str, call: Callable[[], T]) -> T:
    """What `call` to the Hub gives. Raises UserError, which begins with `what`, where the Hub or the way fails."""
    try:
        return call()
    except Exception as error:
        if (told := _told(what, error)) is None:
            raise
    raise told  # outside of the handler: what the server said is no part of it


def _fetched(named: HubSource) -> Path:
    from huggingface_hub import snapshot_download

    what = f"{named.repo}" + (f" at {named.revision}" if named.revision else "")

    def fetch(local: bool) -> Path:
        return Path(
            snapshot_download(named.repo, revision=named.revision, allow_patterns=list(FETCHED), local_files_only=local)
        )

    if named.pinned:  # what the cache has of a commit needs no network
        try:
            folder = fetch(local=True)
        except Exception:  # of many kinds: it is not in the cache, or not all of it
            pass
        else:
            if (folder / WEIGHTS).is_file() and (folder / RUN).is_file():  # timm alone would have left no run
                return folder
    folder = asked(what, lambda: fetch(local=False))
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"{what} holds no {WEIGHTS}\nlevelfield hub push RUN OWNER/NAME writes a repository that does")
    return folder


def _told(what: str, error: Exception) -> UserError | None:
    """The line that tells of an error; None for one that neither the Hub nor the network made."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.GatedRepoError):
        return UserError(f"{what} is gated on the Hugging Face Hub\nagree to its terms on its page, then hf auth login")
    if isinstance(error, errors.RepositoryNotFoundError):
        return UserError(f"{what}: the Hugging Face Hub has no such repository, or shows it to others only\n{LOG_IN}")
    if isinstance(error, errors.RevisionNotFoundError):
        return UserError(f"{what}: the repository has no such revision\ngive a branch, a tag or a whole commit")
    if status in (401, 403):
        return UserError(f"{what}: the Hugging Face Hub refuses this ({status})\n{LOG_IN}")
    if status is not None:
        return UserError(f"{what}: the Hugging Face Hub answers with an error ({status})\ntry again later")
    if isinstance(error, errors.HFValidationError):
        return UserError(f"{what} is no name that the Hugging Face Hub knows\ngive OWNER/NAME")
    if isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _TRANSPORT:
        return UserError(
            f"{what}: neither in the Hugging Face cache nor is the Hub within reach ({type(error).__name__})\n"
            "connect to a network (HF_HUB_OFFLINE unset); HF_ENDPOINT names another server"
        )
    return None
