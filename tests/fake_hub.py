"""The part of the Hugging Face Hub's HTTP interface that pushing to and reading from a repository takes, in memory.

What huggingface_hub sends is kept (`FakeHub.requests`), so that tests see what leaves the machine.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass
class Repository:
    """Commits in order, each with its files, and where branches and tags stand."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        content = repr((sorted(files.items()), len(self.commits))).encode()
        sha = hashlib.sha1(content).hexdigest()
        self.commits[sha], self.refs[branch] = files, sha
        return sha

    def at(self, revision: str) -> str | None:
        return self.refs.get(revision) or (revision if revision in self.commits else None)


class FakeHub:
    """A server on 127.0.0.1. `token`: what writing, and reading what is private, takes. `failing`: a status that every
    request is answered with, whose text repeats the token, as a careless server may. `moving`: whoever asks where a
    branch stands finds it at another commit, of the same files, the next time."""

    def __init__(self, token: str) -> None:
        self.token, self.failing, self.moving = token, 0, False
        self.repositories: dict[str, Repository] = {}
        self.requests: list[tuple[str, str]] = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hub._answer(self, "GET")

            def do_HEAD(self) -> None:
                hub._answer(self, "HEAD")

            def do_POST(self) -> None:
                hub._answer(self, "POST")

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler, method: str) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(request.path).path)
        self.requests.append((method, path))
        authorised = request.headers.get("Authorization") == f"Bearer {self.token}"
        if self.failing:
            said = f"refused: {request.headers.get('Authorization')}"
            send(request, self.failing, {"error": said}, {"X-Error-Message": said})
            return
        if (found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)) is not None:
            self._file(request, *found.groups(), authorised)
        elif (found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(\w+)/([^/]+))?", path)) is not None:
            repo, what, revision = found.groups()
            if what in ("preupload", "commit") and not authorised:
                send(request, 403, {"error": "no right to write"})
            else:
                self._about(request, repo, what or "revision", revision or "main", body, authorised)
        elif path == "/api/repos/create":
            self._create(request, json.loads(body), authorised)
        elif path == "/api/validate-yaml":
            send(request, 200, {"errors": [], "warnings": []})
        else:
            send(request, 404, {"error": "no such path"})

    def _create(self, request: BaseHTTPRequestHandler, asked: dict[str, Any], authorised: bool) -> None:
        if not authorised:
            send(request, 401, {"error": "log in"})
            return
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if name in self.repositories:
            send(request, 409, {"error": "exists", "url": f"{self.url}/{name}"})
            return
        self.repositories[name] = Repository(private=asked.get("private") or asked.get("visibility") == "private")
        self.repositories[name].commit({".gitattributes": b""})
        send(request, 200, {"url": f"{self.url}/{name}", "id": name, "name": name})

    def _seen(
        self, request: BaseHTTPRequestHandler, repo: str, revision: str, authorised: bool
    ) -> tuple[Repository, str] | None:
        """The repository and the commit; None where the answer has been given."""
        here = self.repositories.get(repo)
        if here is None or (here.private and not authorised):
            send(request, 404 if authorised else 401, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        if (sha := here.at(revision)) is None:
            send(request, 404, {"error": "no revision"}, {"X-Error-Code": "RevisionNotFound"})
            return None
        return here, sha

    def _about(
        self, request: BaseHTTPRequestHandler, repo: str, what: str, revision: str, body: bytes, authorised: bool
    ) -> None:
        if (seen := self._seen(request, repo, revision, authorised)) is None:
            return
        here, sha = seen
        files = here.commits[sha]
        if what == "revision":
            siblings = [{"rfilename": name} for name in files]
            send(request, 200, {"id": repo, "sha": sha, "private": here.private, "siblings": siblings, "tags": []})
            if self.moving:
                here.commit(files)
        elif what == "tree":
            listed = [
                {"type": "file", "path": name, "size": len(data), "oid": git_oid(data)} for name, data in files.items()
            ]
            send(request, 200, listed)
        elif what == "preupload":
            asked = json.loads(body)["files"]
            send(
                request, 200,
                {"files": [{"path": e["path"], "uploadMode": "regular", "shouldIgnore": False} for e in asked]},
            )  # fmt: skip
        elif what == "commit":
            changed = dict(files)
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    changed[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                elif entry["key"] == "deletedFile":
                    changed.pop(entry["value"]["path"])
            new = here.commit(changed, revision)
            send(request, 200, {"success": True, "commitOid": new, "commitUrl": f"{self.url}/{repo}/commit/{new}"})
        else:
            send(request, 404, {"error": "no such path"})

    def _file(self, request: BaseHTTPRequestHandler, repo: str, revision: str, name: str, authorised: bool) -> None:
        if (seen := self._seen(request, repo, revision, authorised)) is None:
            return
        here, sha = seen
        if (data := here.commits[sha].get(name)) is None:
            send(request, 404, {"error": "no entry"}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
            return
        send(request, 200, data, {"ETag": f'"{git_oid(data)}"', "X-Repo-Commit": sha})


def git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def send(request: BaseHTTPRequestHandler, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    request.send_response(status)
    for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
        request.send_header(key, value)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(data)
