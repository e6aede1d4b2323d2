"""SQL that says which attribute of a span names the other side of its call (`model.dependency.PEER_KEYS`)."""

from __future__ import annotations

from typing import Final

from clew_server.model.dependency import DATABASE_KEYS, PEER_KEYS

_NAMES_PEER: Final = "v!='' AND k IN ({})".format(",".join(f"'{key}'" for key in PEER_KEYS))

KEYS_AND_VALUES: Final = (
    f"arrayFilter((k,v)->{_NAMES_PEER},mapKeys(attrs),mapValues(attrs)) AS keys,"
    f" arrayFilter((v,k)->{_NAMES_PEER},mapValues(attrs),mapKeys(attrs)) AS values"
)
"""The attributes of `attrs` that matter here, as two columns to group by: looking for ten keys in each span's map costs far more."""


def peer_of(attributes: str) -> str:
    """The first name among the attributes, a map; '' where there is none."""
    return "arrayFirst(x->x!='',[{}])".format(",".join(f"{attributes}['{key}']" for key in PEER_KEYS))


def is_database(attributes: str) -> str:
    """Whether the attributes, a map, are those of a call to a database."""
    return "({})".format(" OR ".join(f"{attributes}['{key}']!=''" for key in DATABASE_KEYS))


def may_name(value: str) -> str:
    """Whether one of the attributes `attrs` that name a peer may have this value: by the index, true too often."""
    items = ",".join(f"concat('{key}=',{value})" for key in PEER_KEYS)
    return f"indexHint(hasAny(ITEMS,[{items}]))"
