"""The built files of another system's UI on a port of their own, with `/api/` passed on to clew, as a web server in front would do."""

from __future__ import annotations

import contextlib
import mimetypes
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx


@contextlib.contextmanager
def served(folder: Path, backend: str, *, page: Callable[[str], str] = str) -> Iterator[tuple[str, list[str]]]:
    """The address of the UI, and what it asks of the backend: method, path and query of each request.

    `page` changes `index.html`, which answers for every path that is no file.
    """
    asked: list[str] = []
    client = httpx.Client(timeout=100)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            if path.startswith("/api/"):
                asked.append(f"{self.command} {self.path}")
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                answer = client.request(self.command, backend + self.path, content=body)
                self._send(answer.status_code, answer.headers.get("content-type", ""), answer.content)
                return
            file = folder / path.lstrip("/")
            if path != "/" and file.is_file():
                self._send(200, mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes())
            else:
                self._send(200, "text/html; charset=utf-8", page((folder / "index.html").read_text()).encode())

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the page has gone on
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
        client.close()
