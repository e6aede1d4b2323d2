"""What `make` builds with: a step tells how far it is, and nothing that the distributions require is left out."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def step(*command: str, began_s_ago: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "STEPS_BEGUN": str(int(time.time()) - began_s_ago)}
    return subprocess.run(
        [SCRIPTS / "step", "the thing", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def required(*options: str) -> list[str]:
    command = [sys.executable, str(SCRIPTS / "requirements.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_step_says_when_it_begins_and_how_long_it_took_and_keeps_what_the_command_prints_to_itself() -> None:
    done = step("sh", "-c", "echo much", began_s_ago=100)
    assert done.returncode == 0
    begins, ends = done.stdout.splitlines()
    assert begins.endswith(" s  the thing …")
    assert "the thing: done in" in ends
    assert int(begins.split()[0]) >= 100
    assert "much" not in done.stdout + done.stderr


def test_a_step_that_fails_shows_what_the_command_printed_and_has_its_exit_code() -> None:
    done = step("sh", "-c", "echo why; exit 7")
    assert done.returncode == 7
    assert done.stderr == "why\n"
    assert done.stdout.splitlines()[-1].endswith("the thing: failed with exit code 7")


def test_the_engine_and_the_rest_together_are_what_both_distributions_require() -> None:
    engine, rest = required("--only", "chdb-core"), required("--without", "chdb-core")
    assert [requirement.split(">")[0] for requirement in engine] == ["chdb-core"]
    declared = {
        requirement.split(">")[0].split("=")[0].split(";")[0].strip()
        for distribution in ("clew", "clew-server")
        for requirement in importlib.metadata.requires(distribution) or []
        if "extra ==" not in requirement
    }
    assert {requirement.split(">")[0] for requirement in engine + rest} == declared - {"clew"}
    assert sorted(engine + rest) == sorted(required())


def test_modules_stay_compiled_also_where_the_environment_asks_python_to_compile_them_each_time() -> None:
    looks = 'what: ; @echo "[$${PYTHONDONTWRITEBYTECODE-unset}]"'
    done = subprocess.run(
        ["make", "--no-print-directory", "--eval", looks, "what"],
        cwd=SCRIPTS.parent,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[unset]\n"
