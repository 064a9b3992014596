"""Fetch the files of a data set from its home: resumable, verified, without an account.

A broken download leaves `<file>.part`, and the next attempt goes on at its end. A digest that the home cites is
checked; where there is none, the SHA-256 of the first download is recorded in the cache, and later ones must equal it.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from levelfield.data.cache_folder import cache_dir, replacing
from levelfield.data.sources.catalog import Dataset, Download
from levelfield.errors import UserError
from levelfield.progress import OnProgress
from levelfield.system.files import rename

ATTEMPTS: Final = 3
_BLOCK: Final = 1 << 18
_TIMEOUT_S: Final = 30.0


def get(dataset: Dataset, folder: Path, progress: OnProgress | None = None) -> list[str]:
    """Download all files of `dataset` into `folder`; returns a line on how each was verified.

    Raises UserError for sets that need a manual download, an unreachable home and content that fails its digest.
    """
    if not dataset.downloads:
        if dataset.manual is None:
            raise UserError(f"{dataset.name} is built in: there is nothing to get")
        raise UserError(f"{dataset.name} cannot be fetched: {dataset.manual}\nsee {dataset.home}")
    return [fetch(download, folder, progress) for download in dataset.downloads]


def fetch(download: Download, folder: Path, progress: OnProgress | None = None) -> str:
    """Download one file into `folder` unless it is there; returns how its content was verified."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}\nname another folder with --to") from None
    target = folder / download.file
    if not target.is_file():
        part = folder / (download.file + ".part")
        _complete(download, part, progress)
        try:
            said = _verify(download, part)
        except UserError:
            part.unlink()
            raise
        rename(part, target)
        return said
    return _verify(download, target)


def _complete(download: Download, part: Path, progress: OnProgress | None) -> None:
    """Bring `part` to its full length, going on where it ends; a lost connection is tried again a few times."""
    reason = "the connection broke"
    for _ in range(ATTEMPTS):
        try:
            if _continue(download, part, progress):
                return
        except urllib.error.HTTPError as error:
            raise UserError(f"{download.url}: {error.code} {error.reason}\nlook at the home of the set") from None
        except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, ConnectionError, TimeoutError) as error:
            reason = str(getattr(error, "reason", error))
    have = part.stat().st_size if part.is_file() else 0
    raise UserError(
        f"{download.url}: not complete after {ATTEMPTS} attempts ({reason})\n"
        f"{have:,} bytes are kept; the same command goes on from there"
    )


def _continue(download: Download, part: Path, progress: OnProgress | None) -> bool:
    """One attempt; True when the file is complete."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(download.url, headers={"User-Agent": "levelfield"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return True  # nothing lies beyond what is here; the digest decides whether it is right
        raise
    with response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the server sends all of it again
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        with part.open("ab" if have else "wb") as file:
            while block := response.read(_BLOCK):
                file.write(block)
                have += len(block)
                if progress:
                    progress(download.file, have, total or have)
    return total is None or have >= total


def _verify(download: Download, path: Path) -> str:
    """How the content of `path` is known to be right. Raises UserError where it is not."""
    if download.md5 is not None:
        found = _digest(path, "md5")
        if found != download.md5:
            raise _wrong(download, path, found, download.md5)
        return f"{download.file}: MD5 {found} is the published one"
    found = _digest(path, "sha256")
    ledger = cache_dir() / "digests.json"
    known: dict[str, str] = json.loads(ledger.read_text(encoding="utf-8")) if ledger.is_file() else {}
    if download.url in known:
        if known[download.url] != found:
            raise _wrong(download, path, found, known[download.url])
        return f"{download.file}: SHA-256 {found} is that of the first download"
    with replacing(ledger) as temporary:
        temporary.write_text(json.dumps(known | {download.url: found}, indent=1), encoding="utf-8")
    return f"{download.file}: no digest is published; SHA-256 {found} recorded at first use"


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _wrong(download: Download, path: Path, found: str, wanted: str) -> UserError:
    return UserError(
        f"{path}: its digest is {found}, expected {wanted}\n"
        f"the download from {download.url} is damaged or was changed; remove it and run the same command again"
    )
