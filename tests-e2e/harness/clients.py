"""Real clients of other systems, each in an environment of its own, made once for all runs of a checkout.

Their pins contradict each other and ours, so none of them is installed beside the tests. What cannot be had raises
`backends.Absent` with the reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from harness.backends import Absent

KEPT = Path(__file__).resolve().parents[2] / "artifacts" / "clients"
BUILD_TIMEOUT_S = 300.0

WATCHED_S = float(os.environ.get("CLEW_AGENT_WATCHED_S") or 300)
"""How long an agent's own log is watched by the tests that `make clients` runs."""

only_in_make_clients = pytest.mark.skipif(
    not os.environ.get("CLEW_ALL_CLIENTS"), reason="fetches its client from a registry: `make clients` runs it"
)


def python(name: str, *requirements: str) -> str:
    """The interpreter of a virtual environment with these requirements, which may begin with options of pip."""
    folder = _folder(name, *requirements)
    interpreter = folder / "bin" / "python"
    with _made_once(folder) as is_made:
        if not is_made:
            _run([sys.executable, "-m", "venv", "--clear", str(folder)], KEPT)
            _run([str(interpreter), "-m", "pip", "install", "--quiet", *requirements], KEPT)
    return str(interpreter)


def node(name: str, package_json: Path) -> Path:
    """A folder with the packages that a package.json names, and the command `node` in the path."""
    folder = _folder(name, package_json.read_text())
    with _made_once(folder) as is_made:
        if not is_made:
            shutil.copy(package_json, folder)
            _run([_program("npm"), "install", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"], folder)
    return folder


def java(name: str, pom: Path, source: Path) -> list[str]:
    """The command that runs a program in one Java file with the jars that a pom names; arguments follow."""
    folder = _folder(name, pom.read_text(), source.read_text())
    with _made_once(folder) as is_made:
        if not is_made:
            fetch = [_program("mvn"), "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
            _run([*fetch, f"-DoutputDirectory={folder / 'jars'}"], folder)
            _run([_program("javac"), "-cp", f"{folder / 'jars'}/*", "-d", str(folder / "classes"), str(source)], folder)
    return [_program("java"), "-Xmx256m", "-cp", f"{folder / 'classes'}:{folder / 'jars'}/*", source.stem]


def maven(artifact: str) -> Path:
    """The file of one artifact of Maven Central, `group:name:version:type`."""
    folder = _folder("maven", artifact)
    copy = [_program("mvn"), "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"]
    with _made_once(folder) as is_made:
        if not is_made:
            _run(copy, folder)
    (found,) = (path for path in folder.iterdir() if path.name != "whole")
    return found


def run(command: Sequence[str], *, environment: Mapping[str, str] | None = None, timeout_s: float = 100) -> str:
    """What a client printed; fails unless it ended well."""
    everything = {name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_"))}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env=everything | dict(environment or {}),
        )
    except subprocess.TimeoutExpired as hung:
        # Bytes, whatever was asked for.
        printed = b"\n".join(bytes(part) for part in (hung.stdout, hung.stderr) if part).decode("utf-8", "replace")
        raise AssertionError(f"{command} has not ended within {timeout_s:.0f} s:\n{printed}") from None
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _folder(name: str, *what: str) -> Path:
    KEPT.mkdir(parents=True, exist_ok=True)
    return KEPT / f"{name}-{hashlib.sha256(repr(what).encode()).hexdigest()[:8]}"


@contextlib.contextmanager
def _made_once(folder: Path) -> Iterator[bool]:
    """Whether a folder has been made whole; else it is when this ends well. One process makes it, others wait for that."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_made = (folder / "whole").exists()
        yield is_made
        if not is_made:
            (folder / "whole").touch()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise Absent(f"{name} is not installed")
    return found


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise Absent(f"{command[0]} took more than {BUILD_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise Absent(f"{Path(command[0]).name} failed, most likely without a way to its registry: {last}")
