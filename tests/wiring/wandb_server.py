"""A W&B server on this machine: answers what wandb asks while a run is tracked, keeps what arrives, can go away."""

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "0123456789" * 4
PROJECT = {"id": "p", "name": "difflab", "entity": {"id": "e", "name": "tester"}}


class Server:
    """Listens from the start; everything that arrives is in its attributes, by the run's id where it is of a run."""

    def __init__(self) -> None:
        self.asked: list[str] = []  # names of operations and paths, as they came
        self.runs: dict[str, dict[str, Any]] = {}
        self.history: dict[str, dict[int, dict[str, Any]]] = {}
        self.summary: dict[str, dict[str, Any]] = {}
        self.finished: set[str] = set()
        self.files: dict[str, bytes] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.views: dict[str, dict[str, Any]] = {}  # saved workspaces, by their ids
        self.answers: dict[str, Callable[[dict[str, Any]], Any]] = _answers(self)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._closed = False
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """From now on its address refuses connections."""
        if not self._closed:
            self._http.shutdown()
            self._http.server_close()
        self._closed = True

    def rows(self, run_id: str) -> list[dict[str, Any]]:
        """The rows of a run's history that have arrived, in their order."""
        return [row for _, row in sorted(self.history.get(run_id, {}).items())]

    def file(self, name: str) -> bytes:
        """The uploaded file of this name."""
        (found,) = (content for path, content in self.files.items() if path.split("/")[-1] == name)
        return found

    def graphql(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
        name = found[1] if found else ""
        self.asked.append(name)
        if name not in self.answers:
            return {"errors": [{"message": f"{name} is not answered here"}]}
        return {"data": self.answers[name](asked.get("variables") or {})}

    def stream(self, path: str, sent: dict[str, Any]) -> dict[str, Any]:
        """Lines of a run's files, each with its place."""
        run_id = path.split("/")[-2]
        for name, chunk in (sent.get("files") or {}).items():
            rows = [json.loads(line) for line in chunk["content"]] if name.endswith((".jsonl", ".json")) else []
            if name == "wandb-history.jsonl":
                self.history.setdefault(run_id, {}).update(enumerate(rows, chunk["offset"]))
            elif name == "wandb-summary.json" and rows:
                self.summary[run_id] = rows[-1]
        if sent.get("complete"):
            self.finished.add(run_id)
        return {"limits": {}}


def _answers(server: Server) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """By the name of the operation: what it returns for its variables."""

    def upsert(v: dict[str, Any]) -> Any:
        run = server.runs.setdefault(v["name"], {})
        inserted = not run
        run.update({key: value for key, value in v.items() if value is not None})
        bucket = {"id": f"id-{v['name']}", "name": v["name"], "displayName": v.get("displayName"), "project": PROJECT}
        bucket |= {"config": "{}", "description": "", "sweepName": None, "historyLineCount": 0}
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def files(v: dict[str, Any]) -> Any:
        urls = [{"name": name, "uploadUrl": f"{server.url}/upload/{v['run']}/{name}"} for name in v["files"]]
        return {"createRunFiles": {"runID": f"id-{v['run']}", "uploadHeaders": [], "files": urls}}

    def artifact(v: dict[str, Any]) -> Any:
        server.artifacts.append(v["input"])
        made = {"id": f"a{len(server.artifacts)}", "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
        return {"createArtifact": {"artifact": made}}

    def artifact_files(v: dict[str, Any]) -> Any:
        specs = v["input"]["artifactFiles"]
        nodes = [
            {
                "storagePath": spec["name"],
                "uploadUrl": f"{server.url}/upload/{spec['artifactID']}/{spec['name']}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": spec["artifactID"]},
            }
            for spec in specs
        ]
        return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}

    def manifest(v: dict[str, Any]) -> Any:
        file = {"id": "f", "uploadUrl": f"{server.url}/upload/manifest", "uploadHeaders": []}
        return {"artifactManifest": {"id": "m", "file": file}}

    def views(v: dict[str, Any]) -> Any:
        found = [(key, view) for key, view in server.views.items() if view["name"] == v["viewName"]]
        nodes = [{"id": key, "displayName": view["displayName"], "spec": view["spec"]} for key, view in found]
        return {"project": {"allViews": {"edges": [{"node": node} for node in nodes]}}}

    def save_view(v: dict[str, Any]) -> Any:
        key = v.get("id") or f"v{len(server.views)}"
        server.views[key] = v
        return {"upsertView": {"view": {"id": key, "name": v["name"]}, "inserted": "id" not in v}}

    viewer = {"id": "u", "entity": "tester", "username": "tester", "email": "", "flags": "{}", "teams": {"edges": []}}
    return {
        "ServerFeaturesQuery": lambda v: {"serverInfo": {"features": []}},
        "GetDefaultEntity": lambda v: {"viewer": viewer},
        "Viewer": lambda v: {"viewer": viewer},
        "RunResumeStatus": lambda v: {"model": {**PROJECT, "bucket": None}},
        "UpsertBucket": upsert,
        "View": views,
        "UpsertView2": save_view,
        "CreateRunFiles": files,
        "MarkRunFilesUploaded": lambda v: {"markRunFilesUploaded": {"success": True}},
        "XXHashDigestsEnabled": lambda v: {"entity": {"xxhashDigestsEnabled": False}},
        "FetchArtifactDigestAlgorithm": lambda v: {"project": None},
        "CreateArtifact": artifact,
        "CreateArtifactFiles": artifact_files,
        "CreateArtifactManifest": lambda v: {"createArtifactManifest": manifest(v)},
        "UpdateArtifactManifest": lambda v: {"updateArtifactManifest": manifest(v)},
        "CommitArtifact": lambda v: {"commitArtifact": {"artifact": {"id": v["artifactID"], "digest": "d"}}},
        "ClientIDMapping": lambda v: {"clientIDMapping": {"serverID": "a1"}},
    }


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self._body()
            if self.path.endswith("/graphql"):
                self._send(server.graphql(json.loads(body)))
            elif self.path.endswith("/file_stream"):
                server.asked.append("file_stream")
                self._send(server.stream(self.path, json.loads(body)))
            else:
                server.asked.append(self.path)
                self._send({})

        def do_PUT(self) -> None:
            server.files[self.path.removeprefix("/upload/")] = self._body()
            self._send({})

        def do_GET(self) -> None:
            server.asked.append(self.path)
            self._send({})

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _send(self, answer: dict[str, Any]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the terminal."""

    return Handler
