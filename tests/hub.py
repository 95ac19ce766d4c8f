"""A stand-in for Hugging Face's hub: the part of its HTTP interface that is used here.

Repositories are dictionaries in memory. Large files go through the LFS endpoints, as on
the hub; which are large is decided as there, by what their first bytes look like.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import unquote, urlsplit

import pytest
import yaml

TOKEN = "hf_token_of_the_test"


class Hub:
    """Runs while the ``with`` block does; ``address`` is what HF_ENDPOINT takes."""

    def __init__(self):
        self.repos: dict[str, list[dict[str, bytes]]] = {}  # commits, newest last
        self.private: dict[str, bool] = {}
        self.stored: dict[str, bytes] = {}  # large files by SHA-256
        self.messages: list[str] = []
        handler = type("BoundHandler", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self.server.shutdown()
        self.server.server_close()

    def sha(self, repo: str) -> str:
        """Of the last commit."""
        return hashlib.sha1(f"{repo} {len(self.repos[repo])}".encode()).hexdigest()

    def card(self, repo: str) -> dict:
        """Metadata of the README."""
        text = self.repos[repo][-1].get("README.md", b"").decode()
        return yaml.safe_load(text.split("---\n")[1]) if text else {}


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status=200, content=None, body=b"", **headers):
        if content is not None:
            body = json.dumps(content).encode()
            headers["Content-Type"] = "application/json"
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, message, code=None):
        headers = {"X_Error_Message": message}
        if code:
            headers["X_Error_Code"] = code
        self.answer(status, {"error": message}, **headers)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def parts(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]

    # Upload -----------------------------------------------------------------------

    def do_POST(self):
        parts, body = self.parts(), self.body()
        if parts[:1] == ["verify"]:
            known = json.loads(body)["oid"] in self.hub.stored
            return self.answer(200 if known else 404, {})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse(401, "Invalid username or password.")
        if parts == ["api", "repos", "create"]:
            return self.create(json.loads(body))
        if parts == ["api", "validate-yaml"]:
            yaml.safe_load(json.loads(body)["content"].split("---\n")[1])
            return self.answer(200, {"errors": [], "warnings": []})
        if parts[:2] == ["api", "models"] and parts[4:] == ["preupload", "main"]:
            return self.answer(
                200, {"files": list(map(mode, json.loads(body)["files"]))}
            )
        if parts[:2] == ["api", "models"] and parts[4:] == ["commit", "main"]:
            return self.commit("/".join(parts[2:4]), body)
        if parts[2:] == ["info", "lfs", "objects", "batch"]:
            objects = [self.where_to(entry) for entry in json.loads(body)["objects"]]
            return self.answer(200, {"transfer": "basic", "objects": objects})
        return self.refuse(404, f"no {self.path}")

    def create(self, wish):
        repo = f"{wish['organization']}/{wish['name']}"
        if wish["organization"] != "somebody":
            return self.refuse(403, "You don't have the rights to create a model there")
        if repo in self.hub.repos:
            return self.answer(409, {"url": f"{self.hub.address}/{repo}"})
        self.hub.repos[repo] = [{}]
        self.hub.private[repo] = wish.get("visibility") == "private"
        return self.answer(200, {"url": f"{self.hub.address}/{repo}", "name": repo})

    def where_to(self, entry):
        oid = entry["oid"]
        actions = {
            "upload": {"href": f"{self.hub.address}/lfs/{oid}"},
            "verify": {"href": f"{self.hub.address}/verify/{oid}"},
        }
        return {**entry, **({} if oid in self.hub.stored else {"actions": actions})}

    def do_PUT(self):
        content, oid = self.body(), self.parts()[1]
        if hashlib.sha256(content).hexdigest() != oid:
            return self.refuse(400, "another content")
        self.hub.stored[oid] = content
        return self.answer()

    def commit(self, repo, body):
        files = dict(self.hub.repos[repo][-1])
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.hub.messages.append(value["summary"])
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
        self.hub.repos[repo].append(files)
        sha = self.hub.sha(repo)
        url = f"{self.hub.address}/{repo}/commit/{sha}"
        return self.answer(200, {"commitUrl": url, "commitOid": sha})

    # Download ---------------------------------------------------------------------

    def do_GET(self):
        parts = self.parts()
        repo = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
        if repo not in self.hub.repos:
            return self.refuse(404, "Repository not found", "RepoNotFound")
        files, sha = self.hub.repos[repo][-1], self.hub.sha(repo)
        if parts[:2] == ["api", "models"] and parts[4:5] in ([], ["revision"]):
            card = self.hub.card(repo)
            info = {"id": repo, "modelId": repo, "sha": sha, "private": False}
            info.update(tags=card.get("tags", []), siblings=[])
            info["pipeline_tag"] = card.get("pipeline_tag")
            return self.answer(200, info)
        if parts[:2] == ["api", "models"] and parts[4] == "tree":
            return self.answer(200, [entry(*item) for item in files.items()])
        name = "/".join(parts[4:])
        if parts[2] == "resolve" and name in files:
            etag = f'"{entry(name, files[name])["oid"]}"'
            return self.answer(200, body=files[name], X_Repo_Commit=sha, ETag=etag)
        return self.refuse(404, f"no {self.path}", "EntryNotFound")

    do_HEAD = do_GET


def mode(file: dict) -> dict:
    binary = b"\0" in base64.b64decode(file["sample"])
    upload_mode = "lfs" if binary else "regular"
    return {"path": file["path"], "uploadMode": upload_mode, "shouldIgnore": False}


def entry(path: str, content: bytes) -> dict:
    """A line of a tree listing; large files are those that hold zeros."""
    listed = {
        "type": "file",
        "path": path,
        "size": len(content),
        "oid": hashlib.sha1(content).hexdigest(),
    }
    if b"\0" in content[:512]:
        sha = hashlib.sha256(content).hexdigest()
        listed["lfs"] = {"oid": sha, "size": len(content), "pointerSize": 130}
    return listed


@pytest.fixture
def hub():
    """A running stand-in of the hub."""
    with Hub() as hub:
        yield hub


@pytest.fixture
def reached(hub, monkeypatch, tmp_path):
    """The hub, as the one that this process knows; caches of the user stay clean."""
    from huggingface_hub import constants, hf_api

    pattern = hub.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", pattern)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(hf_api.api, "endpoint", hub.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf_cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return hub
