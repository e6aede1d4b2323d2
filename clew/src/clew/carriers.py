"""Carriers: `get`, `set` and `keys` over the header objects of each transport, so that any propagator can use them.

Names are case-insensitive and `get` returns all values of a name, in order, so that a header
that was sent twice can be recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final, Protocol, runtime_checkable

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter, Setter


@runtime_checkable
class Carrier(Protocol):
    """Headers of one message."""

    def get(self, key: str) -> list[str]:
        """All values of `key`, whatever its case; empty when there are none."""

    def set(self, key: str, value: str) -> None:
        """Make `value` the only value of `key`. Raises TypeError where headers cannot be written."""

    def keys(self) -> list[str]:
        """The names present, each once, in lower case."""


class DictCarrier:
    """A mapping of names to one value or a list of values; writes lower-case names."""

    __slots__ = ("headers",)

    def __init__(self, headers: Mapping[str, Any] | None = None) -> None:
        self.headers: Mapping[str, Any] = {} if headers is None else headers

    def get(self, key: str) -> list[str]:
        key = key.lower()
        found: list[str] = []
        for name, value in self.headers.items():
            if name == key or name.lower() == key:
                if isinstance(value, str):
                    found.append(value)
                elif isinstance(value, bytes):
                    found.append(value.decode("latin-1"))
                else:
                    found.extend(value)
        return found

    def set(self, key: str, value: str) -> None:
        headers = self.headers
        if not isinstance(headers, MutableMapping):
            raise TypeError("these headers cannot be written")
        key = key.lower()
        for name in [name for name in headers if name != key and name.lower() == key]:
            del headers[name]
        headers[key] = value

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name.lower() for name in self.headers))


# Cache of names as lower-case bytes, since propagators always ask for the same few.
_asgi_names: Final[dict[str, bytes]] = {}
_MAX_NAMES: Final = 1_000


def _asgi_name(key: str) -> bytes:
    name = key.lower().encode("latin-1", "replace")
    if len(_asgi_names) < _MAX_NAMES:
        _asgi_names[key] = name
    return name


class Native:
    """What reads the headers of most requests in C where `clew.configure` finds it; else it is read in Python."""

    __slots__ = ("read_names", "read_parent")

    def __init__(self) -> None:
        #: `(pairs)` → index and names, as `AsgiCarrier.plain_index`; None where names are repeated or in upper case.
        self.read_names: Callable[[list[tuple[bytes, bytes]]], tuple[dict[bytes, bytes], bytes] | None] | None = None
        #: `(traceparent, context)` → the context with that parent; None for what is not of the usual form.
        self.read_parent: Callable[[bytes, Context], Context | None] | None = None

    def use(self, module: object) -> None:
        """Use the functions that this module has; none of them if it is None."""
        self.read_names = getattr(module, "read_names", None)
        self.read_parent = getattr(module, "read_parent", None)


native: Final = Native()


class AsgiCarrier:
    """ASGI's pairs of byte strings. A list is written in place."""

    __slots__ = ("_index", "_is_plain", "_pairs", "names")

    _is_plain: bool
    #: The names as they came, a line each; there once `index` was called.
    names: bytes

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs if isinstance(pairs, list) else list(pairs)
        # The other two slots are set together with it.
        self._index: dict[bytes, bytes] | None = None

    def plain_index(self) -> dict[bytes, bytes] | None:
        """As `index`, if each name came once and in lower case, as it should; else None."""
        index = self._index
        if index is None:
            read = None if native.read_names is None else native.read_names(self._pairs)
            if read is not None:
                index, self.names = read
                self._index = index
                self._is_plain = True
                return index
            # The code of `index`, inlined: one call less for every request.
            index = self._index = dict(self._pairs)
            self.names = b"\n".join(index)
            self._is_plain = len(index) == len(self._pairs) and self.names.islower()
        return index if self._is_plain else None

    def index(self) -> dict[bytes, bytes]:
        """Names to their values, the last of each: one pass in C instead of a search a header."""
        index = self._index
        if index is None:
            index = self._index = dict(self._pairs)
            # ASGI wants lower-case names; upper-case and repeated names take the slow path.
            self.names = b"\n".join(index)
            self._is_plain = len(index) == len(self._pairs) and self.names.islower()
        return index

    def has_any(self, keys: Iterable[str]) -> bool:
        """Whether one of these names is there; cheaper than asking for each."""
        index = self._index
        if index is None:
            index = self.index()
        if not self._is_plain:
            return any(self.get(key) for key in keys)
        for key in keys:  # noqa: SIM110  # any() would make a generator, on the hot path
            if (_asgi_names.get(key) or _asgi_name(key)) in index:
                return True
        return False

    def get(self, key: str) -> list[str]:
        name = _asgi_names.get(key) or _asgi_name(key)
        index = self._index
        if index is None:
            index = self.index()
        if self._is_plain:
            value = index.get(name)
            return [] if value is None else [value.decode("latin-1")]
        return [value.decode("latin-1") for written, value in self._pairs if written.lower() == name]

    def set(self, key: str, value: str) -> None:
        name = _asgi_names.get(key) or _asgi_name(key)
        self._pairs[:] = [pair for pair in self._pairs if pair[0].lower() != name]
        self._pairs.append((name, value.encode("latin-1")))
        self._index = None

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name.lower().decode("latin-1") for name, _ in self._pairs))


class WsgiCarrier:
    """A WSGI environ, where a server has already joined the values of a repeated header with commas."""

    __slots__ = ("_environ",)

    def __init__(self, environ: MutableMapping[str, Any]) -> None:
        self._environ = environ

    def get(self, key: str) -> list[str]:
        value = self._environ.get(_wsgi_name(key))
        return [] if value is None else [str(value)]

    def set(self, key: str, value: str) -> None:
        self._environ[_wsgi_name(key)] = value

    def keys(self) -> list[str]:
        return [
            name.removeprefix("HTTP_").replace("_", "-").lower()
            for name in self._environ
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        ]


def _wsgi_name(key: str) -> str:
    name = key.upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + name


class GrpcCarrier:
    """gRPC metadata: pairs of a lower-case name and text, or raw bytes where the name ends in `-bin`.

    `pairs` is what to hand to gRPC after writing; the metadata given is never changed. Bytes read and written
    as text are Latin-1, which loses nothing.
    """

    __slots__ = ("pairs",)

    def __init__(self, metadata: Iterable[tuple[str, str | bytes]] | None = None) -> None:
        self.pairs: list[tuple[str, str | bytes]] = (
            [] if metadata is None else [(pair[0], pair[1]) for pair in metadata]
        )

    def get(self, key: str) -> list[str]:
        key = key.lower()
        return [
            value if isinstance(value, str) else value.decode("latin-1")
            for name, value in self.pairs
            if name == key or name.lower() == key
        ]

    def set(self, key: str, value: str) -> None:
        key = key.lower()
        self.pairs = [pair for pair in self.pairs if pair[0].lower() != key]
        self.pairs.append((key, value.encode("latin-1") if key.endswith("-bin") else value))

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name.lower() for name, _ in self.pairs))


class HttpxCarrier:
    """`httpx.Headers`, without importing httpx."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Any) -> None:
        self._headers = headers

    def get(self, key: str) -> list[str]:
        values: list[str] = self._headers.get_list(key)
        return values

    def set(self, key: str, value: str) -> None:
        self._headers[key] = value

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name.lower() for name in self._headers))


def as_carrier(headers: Carrier | Mapping[str, Any] | None) -> Carrier | None:
    """`headers` as a carrier: mappings are wrapped, carriers and None stay. Raises TypeError for anything else."""
    if headers is None or hasattr(headers, "set"):
        return headers  # type: ignore[return-value]  # a mapping has no `set`
    if isinstance(headers, Mapping):
        return DictCarrier(headers)
    raise TypeError(f"not a carrier: {type(headers).__name__}")


class CarrierGetter(Getter[Carrier]):
    """Lets any OpenTelemetry propagator read a carrier."""

    def get(self, carrier: Carrier, key: str) -> list[str] | None:
        return carrier.get(key) or None

    def keys(self, carrier: Carrier) -> list[str]:
        return carrier.keys()


class CarrierSetter(Setter[Carrier]):
    """Lets any OpenTelemetry propagator write a carrier."""

    def set(self, carrier: Carrier, key: str, value: str) -> None:
        carrier.set(key, value)


getter: Final = CarrierGetter()
setter: Final = CarrierSetter()
