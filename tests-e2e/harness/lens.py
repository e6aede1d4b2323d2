"""Zipkin's own UI, Lens, from the jar of Zipkin's server, behind a web server that passes its questions on to clew."""

from __future__ import annotations

import contextlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from harness import backends

_MEDIA = {"html": "text/html", "js": "text/javascript", "css": "text/css", "png": "image/png", "ico": "image/x-icon"}


def files() -> dict[str, bytes]:
    """The files of Lens by their path below `/zipkin/`. Raises backends.Absent."""
    with zipfile.ZipFile(backends.zipkin_jar()) as server:
        inside = server.read(f"BOOT-INF/lib/zipkin-lens-{backends.ZIPKIN_VERSION}.jar")
    with zipfile.ZipFile(io.BytesIO(inside)) as lens:
        names = [name for name in lens.namelist() if name.startswith("zipkin-lens/") and not name.endswith("/")]
        return {name.removeprefix("zipkin-lens/"): lens.read(name) for name in names}


@contextlib.contextmanager
def lens(zipkin_address: str) -> Iterator[str]:
    """A running Lens over the server at this address: `http://HOST:PORT/zipkin/`."""
    kept = files()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/zipkin/")
            if path.startswith("api/") or path == "config.json":
                answer = httpx.get(zipkin_address + self.path, timeout=100)
                self._answer(answer.status_code, answer.headers.get("content-type", ""), answer.content)
            else:
                name = path if path in kept else "index.html"
                self._answer(200, _MEDIA.get(Path(name).suffix[1:], "application/octet-stream"), kept[name])

        def _answer(self, status: int, media: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/zipkin/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
