"""A finding about a range of time, and the query that shows what it is about. Pure."""

from __future__ import annotations

from clew_server.analysis.range_findings import RangeFinding
from clew_server.model.quoting import in_quotes
from clew_server.model.search import KIND_WORDS


def query_of(finding: RangeFinding) -> str:
    """The query of the traces by which the finding came about: the operation's failed calls, or those longer than usual."""
    what = "status=error" if finding.longer_than_ns is None else f"dur>{finding.longer_than_ns}ns"
    kinds = [KIND_WORDS[kind] for kind in finding.kinds]
    # Without it also calls of other kinds that have this name would be found, which the finding does not count.
    of_kinds = "" if not kinds else f"kind={kinds[0]} " if len(kinds) == 1 else f"kind in ({', '.join(kinds)}) "
    return f"service={in_quotes(finding.service)} name={in_quotes(finding.operation)} {of_kinds}{what}"
