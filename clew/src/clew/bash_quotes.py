"""Completions as bash must have them between double quotes."""

from __future__ import annotations

from argcomplete.finders import CompletionFinder


class BashFinder(CompletionFinder):
    """Between double quotes bash keeps the backslash before an exclamation mark: it would be a part of the value.

    The mark stands in quotes of its own instead. Bash closes the double quotes by itself, but not behind one.
    """

    def quote_completions(
        self, completions: list[str], cword_prequote: str, last_wordbreak_pos: int | None
    ) -> list[str]:
        quote = super().quote_completions
        if cword_prequote != '"':
            return quote(completions, cword_prequote, last_wordbreak_pos)
        return [
            "\"'!'\"".join(quote(one.split("!"), cword_prequote, None)) + '"' * one.endswith("!") for one in completions
        ]
