"""Prints what the two distributions require, a requirement a line: `python scripts/requirements.py [--only NAME | --without NAME]`.

So the database engine, by far the largest download, can be fetched beside everything else.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = {"clew", "clew-server"}


def name_of(requirement: str) -> str:
    """The name in a requirement such as `grpcio>=1.70`."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def requirements() -> list[str]:
    """Of both distributions, without each other."""
    found = [
        requirement
        for distribution in sorted(OURS)
        for requirement in tomllib.loads((ROOT / distribution / "pyproject.toml").read_text())["project"][
            "dependencies"
        ]
    ]
    return [requirement for requirement in found if name_of(requirement) not in OURS]


if __name__ == "__main__":
    how, name = [*sys.argv[1:], "", ""][:2]
    for requirement in requirements():
        if how == "" or (name_of(requirement) == name) == (how == "--only"):
            print(requirement)
