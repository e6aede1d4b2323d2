"""A finding about a range of time, and the query that shows what it is about. Pure."""

from __future__ import annotations

from clew_server.analysis.range_findings import RangeFinding
from clew_server.query.language.keys import in_quotes


def query_of(finding: RangeFinding) -> str:
    """The query of the traces by which the finding came about: the operation's failed calls, or those longer than usual."""
    what = "status=error" if finding.longer_than_ns is None else f"dur>{finding.longer_than_ns}ns"
    return f"service={in_quotes(finding.service)} name={in_quotes(finding.operation)} {what}"
