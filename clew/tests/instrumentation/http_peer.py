"""A small HTTP server on loopback for clients under test: runs what the test wants, answers what the path says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit


class Peer:
    """`/status/404` answers 404, `/redirect` leads to `/there`, `/flaky` fails until the second try, else 200."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, list[tuple[str, str]]]] = []
        self.body: Callable[[], None] = lambda: None
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                parts = urlsplit(self.path)
                earlier = sum(1 for _, path, _ in peer.requests if path == self.path)
                peer.requests.append((self.command, self.path, list(self.headers.items())))
                self.rfile.read(int(self.headers.get("content-length") or 0))
                try:
                    peer.body()
                except BaseException:
                    # The client sees a connection that ends without an answer.
                    self.close_connection = True
                    return
                status, location = 200, ""
                if parts.path.startswith("/status/"):
                    status = int(parts.path.rpartition("/")[2])
                elif parts.path == "/redirect":
                    status, location = 302, parse_qs(parts.query).get("to", ["/there"])[0]
                elif parts.path == "/flaky" and not earlier:
                    status = 503
                self.send_response(status)
                if location:
                    self.send_header("location", location)
                self.send_header("x-answer", "yes")
                self.send_header("content-length", "2")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(b"ok")

            do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = answer

            def log_message(self, format: str, *args: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> list[tuple[str, str]]:
        """Of the last request."""
        return self.requests[-1][2] if self.requests else []

    @contextmanager
    def running(self) -> Iterator[Peer]:
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()
