"""A real `clew serve` in a process of its own, spoken to only through the addresses and files of the contract."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

PROTOBUF = "application/x-protobuf"
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
"""The server has 9 s, and says so where it needs them (`test_lifecycle`, `test_stopping`); the machine may be busy with more."""


def clew_command() -> list[str]:
    """The installed console script, else the module it stands for."""
    script = Path(sysconfig.get_path("scripts")) / "clew"
    if script.exists():
        return [str(script)]
    found = shutil.which("clew")
    return [found] if found else [sys.executable, "-m", "clew.cli"]


_tried = itertools.count(secrets.randbelow(2_000))  # no port twice in a row, two runs at once seldom the same


def free_port() -> int:
    """A port nobody listens on now; for servers that must come back at the same address.

    It lies below the ports that the kernel hands out by itself (from 32768 on Linux) and in a range of this worker of
    pytest-xdist, so that nothing else on the machine takes it between now and the server's start.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = 12_000 + worker % 10 * 2_000 + next(_tried) % 2_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class NotReady(RuntimeError):
    """The server ended, or was not ready in time; the message carries its exit code and what it printed."""


class Server:
    """`clew serve` on `data_dir`; ports are 0 unless `ports` names them (http, otlp_http, otlp_grpc).

    `wrapper` goes before the command (strace), `environment` is added to the environment.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        options: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        ports: tuple[int, int, int] = (0, 0, 0),
        token: str | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.token = token
        self._options = list(options)
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_"))
        }
        self._environment.update(environment or {})
        self._wrapper = list(wrapper)
        self._ports = ports
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self.ready: dict[str, Any] = {}
        # One client for all starts: making one costs more than most answers. A dead connection is replaced by itself.
        self._client = httpx.Client(timeout=100, transport=httpx.HTTPTransport(retries=1))

    @property
    def ready_file(self) -> Path:
        return self.data_dir.parent / f"{self.data_dir.name}.ready.json"

    @property
    def log_file(self) -> Path:
        """Everything the server printed, over all its starts."""
        return self.data_dir.parent / f"{self.data_dir.name}.log"

    @property
    def pid(self) -> int:
        """Process id of the server itself, also under a wrapper."""
        return int(self.ready["pid"])

    @property
    def http(self) -> str:
        return _url(self.ready["http"])

    @property
    def otlp_http(self) -> str:
        return _url(self.ready["otlp_http"])

    @property
    def otlp_grpc(self) -> str:
        """HOST:PORT, as gRPC takes it."""
        return str(self.ready["otlp_grpc"]).removeprefix("http://")

    def receiver(self, name: str) -> str:
        """Where a receiver listens that `options` named (`--receive zipkin@127.0.0.1:0`): `http://HOST:PORT` or `HOST:PORT`."""
        (found,) = (one for one in self.status()["receivers"] if one["name"] == name)
        assert found["state"] == "open", found
        return str(found["address"])

    def launch(self) -> None:
        """Start the process and return at once."""
        http, otlp_http, otlp_grpc = self._ports
        self.ready_file.unlink(missing_ok=True)
        self.ready = {}
        command = [*self._wrapper, *clew_command(), "serve", "--data-dir", str(self.data_dir), "--http-port", str(http)]
        command += ["--otlp-http-port", str(otlp_http), "--otlp-grpc-port", str(otlp_grpc)]
        # Else all servers of all workers would want the same ports; a test that needs a receiver names it in `options`.
        command += ["--receive", "none", "--ready-file", str(self.ready_file), *self._options]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        assert self._process is not None
        deadline = time.monotonic() + timeout_s
        while not self.ready_file.exists():
            code = self._process.poll()
            if code is not None:
                raise NotReady(f"clew serve ended with {code} before it was ready:\n{self.printed()}")
            if time.monotonic() > deadline:
                self.kill()
                raise NotReady(f"clew serve was not ready after {timeout_s:.0f} s:\n{self.printed()}")
            time.sleep(0.02)
        self.ready = json.loads(self.ready_file.read_text())

    def start(self) -> Self:
        self.launch()
        self.wait_ready()
        return self

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL to the server and to what wraps it."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """The end of it all: no process, no connection."""
        self.kill()
        self._client.close()

    def stop(self, sent: signal.Signals = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask the server to stop; its exit code."""
        assert self._process is not None
        process = self._process
        os.kill(self.pid if self.ready else process.pid, sent)
        try:
            return process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"clew serve still ran {timeout_s:.0f} s after {sent.name}:\n{self.printed()}"
            ) from None
        finally:
            self._process = None

    def wait_ended(self, timeout_s: float = START_TIMEOUT_S) -> int:
        """Exit code of a server that ends by itself."""
        assert self._process is not None
        try:
            return self._process.wait(timeout_s)
        finally:
            self.kill()

    def printed(self) -> str:
        return self.log_file.read_text(errors="replace")[-4000:] if self.log_file.exists() else ""

    def _headers(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        headers = dict(more or {})
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def get(
        self, path: str, *, headers: Mapping[str, str] | None = None, timeout_s: float = 100, **query: Any
    ) -> httpx.Response:
        return self._client.get(f"{self.http}{path}", params=query, headers=self._headers(headers), timeout=timeout_s)

    def get_json(self, path: str, **query: Any) -> Any:
        """The decoded answer; fails unless it is 200."""
        answer = self.get(path, **query)
        assert answer.status_code == 200, f"{path} {query}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def status(self) -> dict[str, Any]:
        return dict(self.get_json("/api/v1/status"))

    def flush(self, timeout_s: float = 100) -> None:
        """Return when all that was acknowledged is visible in every answer."""
        answer = self._client.post(
            f"{self.http}/api/v1/flush",
            params={"timeout_s": timeout_s},
            headers=self._headers(),
            timeout=timeout_s + 10,
        )
        assert answer.status_code == 200, f"flush: {answer.status_code} {answer.text[:500]}"

    def post(
        self, body: bytes, *, content_type: str | None = PROTOBUF, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """One OTLP/HTTP export, not retried."""
        sent = self._headers(headers)
        if content_type is not None:
            sent["Content-Type"] = content_type
        return self._client.post(f"{self.otlp_http}/v1/traces", content=body, headers=sent, timeout=100)

    def export(self, body: bytes, *, timeout_s: float = 100) -> None:
        """Send the body until it is acknowledged in full, as an exporter does."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                answer = self.post(body)
            except httpx.TransportError as error:
                why = repr(error)
            else:
                if answer.status_code == 200:
                    assert answer.content == b"", f"acknowledged in part: {answer.content!r}"
                    return
                assert answer.status_code in (429, 502, 503, 504), f"{answer.status_code} {answer.content[:300]!r}"
                why = f"{answer.status_code} {answer.content[:300]!r}"
            assert time.monotonic() < deadline, f"not acknowledged within {timeout_s:.0f} s, last: {why}"
            time.sleep(0.05)

    def trace_bytes(self, trace_id: bytes) -> bytes:
        """The whole trace as OTLP protobuf; empty when it is unknown."""
        answer = self.get(f"/api/v1/traces/{trace_id.hex()}", headers={"Accept": PROTOBUF})
        if answer.status_code == 404:
            return b""
        assert answer.status_code == 200, f"{answer.status_code} {answer.text[:500]}"
        assert answer.headers["content-type"].split(";")[0] == PROTOBUF
        return answer.content

    def pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Every page of a search."""
        cursor: str | None = None
        while True:
            page = self.get_json("/api/v1/traces", **query, **({"cursor": cursor} if cursor else {}))
            yield page
            cursor = page["next"]
            if cursor is None:
                return

    def found(self, **query: Any) -> list[dict[str, Any]]:
        """Every trace a search finds, over all pages."""
        return [trace for page in self.pages(**query) for trace in page["traces"]]


def _url(address: str) -> str:
    return address.rstrip("/") if address.startswith("http") else f"http://{address}"
