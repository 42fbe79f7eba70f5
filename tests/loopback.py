"""A server on this machine in the place of Weights & Biases."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ME = {"id": "x", "entity": "me", "username": "me", "email": "", "teams": {"edges": []}}
Answer = Callable[[str, dict[str, Any]], dict[str, Any]]


@dataclass
class Loopback:
    """What was asked for, the epochs that were sent, and the environment that leads there."""

    environment: dict[str, str]
    paths: list[str] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def loopback(answer: Answer, home: str) -> Iterator[Loopback]:
    """Answer GraphQL queries by `answer(query, variables)`, and who is asking."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            there.paths.append(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            data: dict[str, Any] = {}
            if self.path == "/graphql":
                asked = json.loads(body)
                data = {"viewer": ME, **answer(asked["query"], asked.get("variables") or {})}
            if self.path.endswith("/file_stream"):
                files = json.loads(body).get("files") or {}
                lines = files.get("wandb-history.jsonl", {}).get("content", [])
                there.history.extend(map(json.loads, lines))
            text = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self) -> None:
            there.paths.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments: Any) -> None:
            """Not on the screen."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    address = f"http://127.0.0.1:{server.server_port}"
    there = Loopback(
        {
            **{name: value for name, value in os.environ.items() if name != "WANDB_MODE"},
            "WANDB_BASE_URL": address,
            "WANDB_API_KEY": "a" * 40,
            "HOME": home,
            "NO_PROXY": "127.0.0.1",
        }
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield there
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
