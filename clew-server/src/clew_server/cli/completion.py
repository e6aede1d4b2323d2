"""`clew completion`: what a shell needs to complete commands, options, and the keys and values of queries."""

from __future__ import annotations

import argparse

from clew.cli import Command

_SHELLS = ("bash", "zsh", "fish")
_HOW = {
    "bash": "clew completion bash > ~/.local/share/bash-completion/completions/clew",
    "zsh": "clew completion zsh > a folder of $fpath, as _clew",
    "fish": "clew completion fish > ~/.config/fish/completions/clew.fish",
}


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "Where it goes:\n" + "\n".join(f"  {how}" for how in _HOW.values())
    parser.add_argument("shell", choices=_SHELLS)


def _run(arguments: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["clew"], shell=arguments.shell))
    return 0


command = Command(
    name="completion",
    help="print what makes bash, zsh or fish complete commands, options, and the keys and values of queries",
    add_arguments=_add_arguments,
    run=_run,
)
