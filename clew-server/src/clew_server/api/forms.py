"""What an asker takes: which form (`Accept`), and gzip or not (`Accept-Encoding`)."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

_LEVEL = 3
_GZIP = 31  # zlib's word for a gzip header around the largest window


def preferred(accept: str, offered: Sequence[str]) -> str:
    """The offered media type that `Accept` wants most; the first of those it wants alike, and the first where it wants none."""
    weights = _weights(accept)
    if not weights:
        return offered[0]

    def weight(kind: str) -> float:
        return next((weights[key] for key in (kind, kind.partition("/")[0] + "/*", "*/*") if key in weights), 0.0)

    return max(offered, key=weight)


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an answer may be gzip."""
    weights = _weights(accept_encoding)
    return next((weights[key] for key in ("gzip", "x-gzip", "*") if key in weights), 0.0) > 0


class Gzip(GZipMiddleware):
    """Starlette's, for askers that take gzip: it looks for the word only, and finds it in `gzip;q=0`.

    What is inside sees `Accept-Encoding: gzip` or none.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            wanted = accepts_gzip(Headers(scope=scope).get("accept-encoding", ""))
            headers = [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]
            scope = {**scope, "headers": [*headers, *([(b"accept-encoding", b"gzip")] if wanted else [])]}
        await super().__call__(scope, receive, send)


def gzipped(pieces: Iterable[bytes], *, level: int = _LEVEL) -> Iterator[bytes]:
    """The pieces as one gzip file; each is given out as soon as there is something of it."""
    packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        packed = packer.compress(piece)
        if packed:
            yield packed
    yield packer.flush()


def _weights(header: str) -> dict[str, float]:
    """What a header lists, with its `q`, 1 where there is none. A `q` that is no number counts as 0."""
    found = {}
    for item in header.split(","):
        name, *parameters = (part.strip().lower() for part in item.split(";"))
        if not name:
            continue
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip() == "q":
                try:
                    weight = min(1.0, max(0.0, float(value)))
                except ValueError:
                    weight = 0.0
        found[name] = weight
    return found
