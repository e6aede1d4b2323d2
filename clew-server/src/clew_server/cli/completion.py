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
_ZSH = r"""#compdef clew
# Only the words of this command up to the cursor: the line as zsh has it begins with what stands before the command, and lacks
# the quote that is open. The last word comes without its quotes, as zsh compares and quotes what is suggested by itself.
_clew() {
    local quote=${compstate[quote]}
    local typed=${(Q)${:-$quote$PREFIX$quote}}
    local line="${(j: :)words[1,CURRENT-1]} ${(q)typed}"
    local -a suggested
    suggested=("${(@ps:\013:)$(
        _ARGCOMPLETE=1 _ARGCOMPLETE_SHELL=zsh _ARGCOMPLETE_SUPPRESS_SPACE=1 _ARGCOMPLETE_IFS=$'\013' \
            COMP_LINE=$line COMP_POINT=${#line} ${words[1]} 8>&1 9>&2 1>/dev/null 2>&1 </dev/null
    )}")
    suggested=("${(@)suggested%:}")  # no description
    [[ -n ${suggested[1]} ]] || return 1
    local -a how
    autoload -U is-at-least
    is-at-least 5.8 && how+=(-o nosort)
    [[ $#suggested == 1 && ${suggested[1]} == *[=/] ]] && how+=(-S '')  # more of the word follows
    _describe clew suggested "${how[@]}"
}
if [[ $zsh_eval_context == *func ]]; then
    _clew "$@"
else
    compdef _clew clew
fi
"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "Where it goes:\n" + "\n".join(f"  {how}" for how in _HOW.values())
    parser.add_argument("shell", choices=_SHELLS)


def _run(arguments: argparse.Namespace) -> int:
    from argcomplete.shell_integration import shellcode

    print(_ZSH.rstrip() if arguments.shell == "zsh" else shellcode(["clew"], shell=arguments.shell))
    return 0


command = Command(
    name="completion",
    help="print what makes bash, zsh or fish complete commands, options, and the keys and values of queries",
    add_arguments=_add_arguments,
    run=_run,
)
