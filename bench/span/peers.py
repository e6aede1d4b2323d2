"""Who takes part: label, what to call it in its process, where it is installed, and what one should know of it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VENVS = Path(__file__).resolve().parents[1] / ".venvs"


@dataclass(frozen=True)
class Contestant:
    """One row of the table."""

    label: str
    maker: str
    """Its name in `makers.py`."""
    pins: tuple[str, ...] = ()
    """Packages with versions, installed into a virtual environment of their own; none: lives where we do."""
    environment: Mapping[str, str] = field(default_factory=dict)
    spans_factor: int = 1
    """So many times the spans: who is quick is measured longer."""
    notes: tuple[str, ...] = ()


CONTESTANTS = (
    Contestant("clew, native", "clew", environment={"CLEW_RECORDER": "native"}, spans_factor=4),
    Contestant("clew, pure", "clew", environment={"CLEW_RECORDER": "pure"}, spans_factor=2),
    Contestant("no-op tracer of the API", "noop", spans_factor=4, notes=("records nothing, sends nothing",)),
    Contestant("opentelemetry-sdk, OTLP/HTTP", "sdk-http"),
    Contestant("opentelemetry-sdk, OTLP/gRPC", "sdk-grpc"),
    Contestant(
        "honeycomb-pycpp",
        "honeycomb",
        ("honeycomb-pycpp==0.1.15", "opentelemetry-api==1.45.2"),
        notes=("cannot be flushed, so its queue holds the whole run", "links do nothing"),
    ),
    Contestant(
        "fastotel",
        "fastotel",
        ("fastotel==0.9.1", "opentelemetry-api==1.45.2", "opentelemetry-sdk==1.45.2"),
        notes=("a span processor: the spans are opentelemetry-sdk's",),
    ),
    Contestant(
        "pytracingx",
        "pytracingx",
        ("pytracingx==0.3.0",),
        spans_factor=2,
        notes=("an API of its own: OpenTelemetry's API, and with it every instrumentation, does not know its spans",),
    ),
    Contestant(
        "ddtrace",
        "ddtrace",
        ("ddtrace==4.16.0",),
        notes=(
            "its own API and protocol (MessagePack to an agent); telemetry and remote configuration switched off",
            "sends uncompressed only",
        ),
    ),
)


class Unavailable(Exception):
    """A contestant cannot take part; the message says why."""


def python_of(contestant: Contestant, *, may_install: bool) -> Path:
    """The interpreter to run it with; makes its virtual environment the first time.

    Raises Unavailable when it is not installed and may not be, or cannot be.
    """
    if not contestant.pins:
        return Path(sys.executable)
    home = VENVS / contestant.maker
    stamp = home / "pins"
    python = home / "bin" / "python"
    wanted = "\n".join(contestant.pins)
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    if not may_install:
        raise Unavailable("not installed; run without --smoke")
    print(f"installing {', '.join(contestant.pins)} …", file=sys.stderr)
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "--only-binary",
            ":all:",
            *contestant.pins,
        ],
    ):
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"PIP_NO_INPUT": "1"}
        )
        if done.returncode:
            raise Unavailable("cannot be installed: " + (done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
    stamp.write_text(wanted)
    return python
