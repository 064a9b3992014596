"""Downloads from a server on this machine: whole, broken and resumed, and with wrong digests."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from levelfield.data.sources import catalog
from levelfield.data.sources.catalog import Dataset, Download
from levelfield.data.sources.download import fetch, get
from levelfield.errors import UserError

CONTENT = bytes(range(256)) * 4000
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    ranges: list[str | None]
    breaks_after: int | None
    honours_ranges: bool


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        if self.path != "/file.bin":
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.honours_ranges else 0
        if asked and start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, self.server.breaks_after = self.server.breaks_after, None
        self.wfile.write(body[:cut])
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.ranges, made.breaks_after, made.honours_ranges = [], None, True
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def at(server: Server, path: str = "/file.bin", md5: str | None = MD5) -> Download:
    return Download(f"http://127.0.0.1:{server.server_address[1]}{path}", md5)


def test_a_file_is_fetched_once_and_verified(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    assert "is the published one" in fetch(at(server), tmp_path, lambda *step: seen.append(step))
    assert (tmp_path / "file.bin").read_bytes() == CONTENT
    assert seen[-1] == ("file.bin", len(CONTENT), len(CONTENT))
    fetch(at(server), tmp_path)
    assert server.ranges == [None]


def test_a_broken_download_goes_on_where_it_ended(server: Server, tmp_path: Path) -> None:
    server.breaks_after = 300_000
    fetch(at(server), tmp_path)
    assert server.ranges == [None, "bytes=300000-"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_what_an_earlier_command_left_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1234])
    fetch(at(server), tmp_path)
    assert server.ranges == ["bytes=1234-"]
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_whole_part_needs_no_more_bytes(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    fetch(at(server), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_server_without_ranges_sends_all_again(server: Server, tmp_path: Path) -> None:
    server.honours_ranges = False
    (tmp_path / "file.bin.part").write_bytes(b"x" * 500)
    fetch(at(server), tmp_path)
    assert (tmp_path / "file.bin").read_bytes() == CONTENT


def test_a_wrong_digest_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its digest is"):
        fetch(at(server, md5="0" * 32), tmp_path)
    assert list(tmp_path.glob("file.bin*")) == []


def test_without_a_published_digest_the_first_is_recorded_and_holds(server: Server, tmp_path: Path) -> None:
    assert "recorded at first use" in fetch(at(server, md5=None), tmp_path / "a")
    assert "is that of the first download" in fetch(at(server, md5=None), tmp_path / "b")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "file.bin").write_bytes(b"other")
    with pytest.raises(UserError, match="its digest is"):
        fetch(at(server, md5=None), tmp_path / "c")


def test_missing_files_and_unreachable_homes_are_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="404"):
        fetch(at(server, "/absent"), tmp_path)
    server.shutdown()
    server.server_close()
    with pytest.raises(UserError, match="not complete after 3 attempts"):
        fetch(at(server), tmp_path)


def test_sets_that_cannot_be_fetched_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"ILSVRC2012_img_train.tar(.|\n)*image-net.org"):
        get(catalog.BY_NAME["imagenet1k"], tmp_path)
    with pytest.raises(UserError, match="built in"):
        get(catalog.BY_NAME["digits"], tmp_path)


@pytest.mark.parametrize("dataset", catalog.DATASETS, ids=lambda dataset: dataset.name)
def test_every_set_can_be_had_somehow_from_its_home(dataset: Dataset) -> None:
    assert dataset.downloads or dataset.manual or dataset.name == "digits"
    homes = ("www.cs.toronto.edu", "cs231n.stanford.edu", "data.caltech.edu", "vision.stanford.edu")
    assert all(download.url.split("/")[2] in homes for download in dataset.downloads)
