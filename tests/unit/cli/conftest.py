"""A stand-in for Lambda's endpoint, so that the command's own client is what is tested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep
from typing import Any

import pytest


@dataclass
class FakeLambda:
    """Answers every request with the next of `answers`, and the last one from then on; keeps what it was sent."""

    answers: list[tuple[int, dict[str, str], object]] = field(default_factory=list)
    requests: list[tuple[str, Any]] = field(default_factory=list)
    delay_seconds: float = 0.0

    def returns(self, value: object) -> None:
        """The function returns a value."""
        self.answers.append((200, {}, value))

    def raises(self, kind: str, message: str) -> None:
        """The function ends with an error."""
        self.answers.append((200, {"X-Amz-Function-Error": "Unhandled"}, {"errorType": kind, "errorMessage": message}))

    def refuses(self, status: int, code: str, message: str) -> None:
        """AWS does not call the function."""
        self.answers.append((status, {"X-Amzn-ErrorType": code}, {"Message": message}))

    def closes(self) -> None:
        """The connection is closed before an answer."""
        self.answers.append((0, {}, None))

    def cuts(self) -> None:
        """The connection is closed within the answer."""
        self.answers.append((200, {"Content-Length": "1000"}, {}))


@pytest.fixture
def fake_lambda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLambda]:
    fake = FakeLambda()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            fake.requests.append((self.path, json.loads(body)))
            status, headers, value = fake.answers.pop(0) if len(fake.answers) > 1 else fake.answers[0]
            if status == 0:
                return
            sleep(fake.delay_seconds)
            answer = json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, text)
            with suppress(ConnectionError):  # whoever asked may be gone
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{server.server_port}")
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()
