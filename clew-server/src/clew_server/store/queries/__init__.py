"""The statements of the store, one a file, by name: read, their macros expanded, and checked when first asked for.

Values are never spliced in: they are bound as `{name:Type}`, texts and ids in hex. What is replaced as a whole word in
capitals (SPAN_CONDITIONS, TABLE_NAME, …) are texts of ours.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Final

from clew_server.store.macros import expand, words_replaced

NAMES: Final = (
    "insert_chunks",
    "insert_search",
    "new_parts",
    "failed_writes",
    "all_parts",
    "merges",
    "broken_parts",
    "proofs_chunks",
    "proofs_search",
    "trace_chunks",
    "trace_state",
    "origins_by_id",
    "traces_listed",
    "traces_again",
    "traces_newest",
    "traces_ordered",
    "resources_where",
    "spans_of_relations",
    "spans_like",
    "heads_of_spans",
    "spans_holding",
    "is_expression",
    "lists",
    "elements_where",
    "nearest_starts",
    "newest_end",
    "resources_with",
    "places_of_attributes",
    "attribute_keys",
    "attribute_values",
    "values_of_resources",
    "names",
    "red_of_minutes",
    "red_of_spans",
    "resource_labels",
    "traces_chosen",
    "failing_by_step",
    "calls_by_step",
    "earlier_calls",
    "lengths_beside",
    "members",
    "numbered",
    "fragments_that_fail",
    "traces_matched",
    "rows_started",
    "summary_grid",
    "newest_end_of",
    "traces_sampled",
    "versions",
    "facet_keys",
    "facets_of_columns",
    "facets_of_spans",
    "names_counted",
    "keys_of_spans",
    "keys_of_resources",
    "counted_parts",
    "key_sets",
    "services_with_keys",
    "counted_values",
    "counted_resources",
    "rows_of_hours",
    "values_of_spans",
    "values_with_resources",
    "series",
    "perhaps_repeated",
    "repeated_spans",
    "repeated_failures",
    "spans_by_id",
    "traces_known",
    "similar_beginnings",
    "similar_halves",
    "fragments",
    "table_ids",
    "probe",
    "durations",
    "rates",
    "sampled_traces",
    "within",
    "peers",
    "resource_keys",
    "spans_by_minute",
    "peers_in_use",
    "shared_ids",
    "calls",
    "calls_to_peers",
    "calls_from_peers",
    "linked_consumers",
    "linked_callers",
    "services",
    "operations",
    "parts",
    "oldest_arrival",
    "newest_arrival",
    "arrivals_by_second",
    "spans_by_day",
    "thinned_days",
    "detached_parts",
    "live_parts",
    "table_folders",
    "drop_day",
    "last_blocks",
    "first_blocks",
    "came_since",
    "clear_replaced",
    "delete_before",
    "open_deletions",
    "kill_deletions",
    "kill_queries",
    "kill_marked",
)


@cache
def _text(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")


def part(name: str, **words: str) -> str:
    """The text of `<name>.sql` with the words replaced, to stand in another statement, which expands its macros."""
    return words_replaced(_text(name), words)


def statement(name: str, **words: str) -> str:
    """The statement of `<name>.sql`, with the words in capitals replaced by texts of ours and all macros expanded."""
    return expand(words_replaced(_text(name), words)).strip()
