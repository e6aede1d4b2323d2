"""Runs the demo: `user`, `message` and load as child processes, and the server unless one runs already, until two traces worth a
look are stored and beyond."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from clew_server.demo import ports
from clew_server.demo.children import Children
from clew_server.demo.why import is_whole, why

RATE_PER_S = 4
START_TIMEOUT_S = 60
TRACES_TIMEOUT_S = 60
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Running:
    """A server that runs already: where it is asked, where it takes spans, and the headers that both want."""

    url: str
    otlp_url: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start where. `server_ports` are options of `clew serve` (`http-port`, …) with the port each gets, none 0.

    With `server`, none is started: the services send their spans to that one, and `data_dir` and `server_ports` are not used.
    """

    data_dir: Path | None
    user_port: int
    message_port: int
    server_ports: dict[str, int]
    duration_s: float | None
    seed: int
    server: Running | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A stored trace worth a look, and why."""

    url: str
    why: str


class TimeOver(Exception):
    """Something that should happen within a minute has not; the message says what."""


def run(plan: Plan, *, say: Callable[[str], None], found: Callable[[Found], None]) -> None:
    """Runs until the duration is over, or without end. Calls `found` once for a failed and once for a slow trace.

    Raises ChildEnded when a child ends by itself, TimeOver when starting or storing takes over a minute. No child is
    left behind, however it ends.
    """
    start_unix_ns = time.time_ns()
    with tempfile.TemporaryDirectory(prefix="clew-demo-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        children = Children(folder, _environ(plan))
        with _told_of_killed(children, say), children:
            server_url = _start(plan, folder, children)
            say(f"user on http://127.0.0.1:{plan.user_port} asks message on 127.0.0.1:{plan.message_port}, {RATE_PER_S} requests a second")  # fmt: skip
            say(f"clew on {server_url}")
            _start_load(plan, children)
            headers = plan.server.headers if plan.server else {}
            with httpx.Client(base_url=server_url, headers=headers, trust_env=False, timeout=10) as client:
                _find(client, start_unix_ns, children, found)
            while not children.has_ended("load"):
                _check(children)
                time.sleep(POLL_S)


@contextlib.contextmanager
def _told_of_killed(children: Children, say: Callable[[str], None]) -> Iterator[None]:
    try:
        yield
    finally:
        for name in children.killed:
            say(f"{name} did not stop in time and was killed")


def _environ(plan: Plan) -> dict[str, str]:
    """For the children: none of the reader's own settings for clew, OpenTelemetry and proxies, spans to the server at once."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CLEW_", "OTEL_")) and not name.lower().endswith("_proxy")
    }
    if plan.server is None:
        endpoint = f"http://127.0.0.1:{plan.server_ports['otlp-http-port']}"
    else:
        endpoint = plan.server.otlp_url
        if plan.server.headers:
            pairs = (f"{name.lower()}={quote(value)}" for name, value in plan.server.headers.items())
            kept["OTEL_EXPORTER_OTLP_HEADERS"] = ",".join(pairs)
    return kept | {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "PYTHONUNBUFFERED": "1",
    }


def _start(plan: Plan, folder: Path, children: Children) -> str:
    """Starts server and services together, returns the server's address when all three answer."""
    ready_file = folder / "ready.json"
    if plan.server is None:
        # Other receivers stay closed: a demo must not take what a real agent on this machine sends.
        server_options = ["--receive=none", *(f"--{option}={port}" for option, port in plan.server_ports.items())]
        server_options += [f"--data-dir={plan.data_dir or folder / 'data'}", f"--ready-file={ready_file}"]
        children.start("server", "clew.cli", "serve", *server_options)
    else:
        ready_file.write_text(json.dumps({"http": plan.server.url}), encoding="utf-8")
    children.start(
        "message",
        "clew_server.demo.message",
        f"--port={plan.message_port}",
        f"--database={folder / 'messages.sqlite'}",
    )
    children.start(
        "user", "clew_server.demo.user", f"--port={plan.user_port}", f"--message=127.0.0.1:{plan.message_port}"
    )

    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not (ready_file.exists() and ports.is_listening(plan.user_port) and ports.is_listening(plan.message_port)):
        children.check()
        if time.monotonic() > deadline_s:
            raise TimeOver(f"server and services were not ready within {START_TIMEOUT_S} s")
        time.sleep(POLL_S)
    url: str = json.loads(ready_file.read_text(encoding="utf-8"))["http"]
    return url


def _check(children: Children) -> None:
    """Raises ChildEnded if the server or a service has ended; the load may end."""
    children.check(*(name for name in children.names() if name != "load"))


def _start_load(plan: Plan, children: Children) -> None:
    options = [f"--url=http://127.0.0.1:{plan.user_port}", f"--seed={plan.seed}", f"--rate={RATE_PER_S}"]
    if plan.duration_s is not None:
        options.append(f"--duration={plan.duration_s}")
    children.start("load", "clew_server.demo.load", *options)


def _find(client: httpx.Client, since_unix_ns: int, children: Children, found: Callable[[Found], None]) -> None:
    """Asks until a failed and a slow trace are stored whole, and hands each to `found`. Raises ChildEnded, TimeOver."""
    wanted = {"app.user=frank": "failed", "app.plan=enterprise": "slow"}  # both whatever else fails on a slow machine
    deadline_s = time.monotonic() + TRACES_TIMEOUT_S
    while wanted:
        _check(children)
        for condition, word in list(wanted.items()):
            try:
                trace_id, explanation = _newest_whole(client, condition, since_unix_ns)
                if trace_id:
                    found(Found(f"{str(client.base_url).rstrip('/')}/trace/{trace_id}", why(word, explanation)))
                    del wanted[condition]
            except httpx.HTTPError as error:
                problem = str(error)  # busy, most likely: asked again until the time is over
            else:
                problem = f"none with {' or '.join(wanted)}"
        if time.monotonic() > deadline_s:
            raise TimeOver(f"within {TRACES_TIMEOUT_S} s the traces to show were not stored: {problem}")
        time.sleep(POLL_S)


def _newest_whole(client: httpx.Client, condition: str, since_unix_ns: int) -> tuple[str, dict[str, Any]]:
    """Id and explanation of the newest trace with that condition of which every span is stored; an empty id if there is none."""
    client.post("/api/v1/flush", params={"timeout_s": 5}).raise_for_status()
    page = client.get("/api/v1/traces", params={"q": condition, "from": since_unix_ns}).raise_for_status().json()
    for row in page["traces"]:
        if row["has_root"]:
            explanation = client.get(f"/api/v1/traces/{row['trace_id']}/explain").raise_for_status().json()
            if is_whole(explanation):
                return row["trace_id"], explanation
    return "", {}
