"""`pip install ./clew` with a C compiler and without: both install, import and record."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

# Each build fetches its tools from the package index.
pytestmark = pytest.mark.timeout(400)
SOURCE = Path(__file__).parents[1] / "clew"
RECORDS = """
import logging
logging.basicConfig(level=logging.INFO)
from clew.recorder import _select
from clew.recorder.export.exporter import ConsoleExporter
from clew.recorder.provider import TracerProvider
provider = TracerProvider(resource={}, exporter=ConsoleExporter())
with provider.get_tracer("t").start_as_current_span("works"):
    pass
provider.shutdown()
print(_select.selected.name, _select.__file__)
"""


def build(folder: Path, **variables: str) -> tuple[Path, str]:
    """The unpacked wheel, and what the build said."""
    shutil.copytree(SOURCE, folder / "clew", ignore=shutil.ignore_patterns("build", "*.so", "*.c", "*.egg-info"))
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-v",
        "--no-deps",
        "-w",
        folder,
        folder / "clew",
    ]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site", done.stdout + done.stderr


def record(site: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    environment.pop("CLEW_RECORDER", None)
    done = subprocess.run(
        [sys.executable, "-c", RECORDS], env=environment, capture_output=True, text=True, check=True, cwd=site
    )
    assert '"name": "works"' in done.stdout
    twin, origin = done.stdout.splitlines()[-1].split()
    assert origin.startswith(str(site))
    return f"{twin} {done.stderr}".strip()


@pytest.mark.skipif(shutil.which("cc") is None and shutil.which("gcc") is None, reason="needs a C compiler")
def test_with_a_compiler_the_native_recorder_is_built_and_records(tmp_path: Path) -> None:
    # Without optimizing, which is nine tenths of the compiler's time; `make install` compiles as users do.
    compiler = tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {shutil.which("cc") or shutil.which("gcc")} "$@" -O0\n')
    compiler.chmod(0o755)
    site, _ = build(tmp_path, CC=str(compiler))
    assert record(site) == "native"
    assert not [*site.rglob("*.pyx"), *site.rglob("*.c")]


def test_without_a_compiler_the_installation_succeeds_and_says_what_is_missing(tmp_path: Path) -> None:
    site, said = build(tmp_path, CC="/bin/false")
    assert said.count("clew: the native recorder was not built") == 1
    assert not [*site.rglob("*.so")]
    told = record(site)
    assert told.startswith("pure")
    assert told.count("recorded in Python") == 1
