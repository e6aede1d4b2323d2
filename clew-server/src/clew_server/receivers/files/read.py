"""Any file of spans as OTLP requests: what it is, is seen from how it begins. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from clew_server.errors import BadInput, TooLarge, Unsupported
from clew_server.receivers.files import jaeger, otlp, sofatracer, zipkin
from clew_server.receivers.files.blocks import Blocks, unpacked
from clew_server.receivers.files.contract import UNDERSTOOD, Notes, Part
from clew_server.receivers.files.json_stream import JsonStream

_HEAD_BYTES: Final = 64
_DEEPEST_LIST: Final = 2
_MOST_PROBLEMS: Final = 1000


def read(blocks: Iterable[bytes], notes: Notes, *, most_bytes: int | None = None, name: str = "") -> Iterator[Part]:
    """The spans of a file that comes in blocks, as requests in its order; the same file gives the same requests.

    `most_bytes` limits a file after unpacking; without it there is no limit. `name` is the file's, where it is known: of digest logs
    it says what stands in which column.
    What is wrong with single spans, or with single lines of a file of lines, is noted. Raises BadInput for a file that is
    not understood or ends too early, TooLarge for a trace or a value that cannot be in memory, Unsupported for zstd where
    this Python cannot read it. What was given out before is good.
    """
    source = unpacked(Blocks(blocks))
    if most_bytes is not None:
        source = Blocks(_at_most(source.rest(), most_bytes))
    head = source.peek(_HEAD_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    if sofatracer.is_digest(head):
        notes.format = "SOFATracer digest log"
        yield from sofatracer.lines(source, notes, name)
        return
    if head[:1] in (b"{", b"["):
        yield from _texts(JsonStream(source.rest()), notes)
        return
    framing = _framing(source.peek(_HEAD_BYTES))
    if framing is None:
        raise _not_understood()
    notes.format, parts = framing
    yield from parts(source, notes)


def _at_most(blocks: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    size = 0
    for block in blocks:
        size += len(block)
        if size > most_bytes:
            raise TooLarge(f"a file of more than {most_bytes >> 20} MiB, unpacked")
        yield block


def _framing(head: bytes) -> tuple[str, Callable[[Blocks, Notes], Iterator[Part]]] | None:
    if otlp.is_request(head):
        return "OTLP protobuf", otlp.one_request
    if otlp.is_prefixed(head):
        return "OTLP protobuf, requests with their length in four bytes", otlp.prefixed
    if otlp.is_delimited(head):
        return "OTLP protobuf, length-delimited requests", otlp.delimited
    return None


def _texts(stream: JsonStream, notes: Notes) -> Iterator[Part]:
    """One JSON text after the other. Where one cannot be read, the next line is tried: a writer was stopped in it."""
    read_one = False
    while stream.starts():
        try:
            yield from _text(stream, notes, 0)
            read_one = True
        except (TooLarge, Unsupported):
            raise
        except BadInput as error:
            if not read_one:
                raise
            if notes.problems >= _MOST_PROBLEMS:
                raise BadInput(f"{notes.problems} places cannot be read; {error}", code="malformed") from error
            notes.problem(str(error))
            stream.skip_line()


def _text(stream: JsonStream, notes: Notes, depth: int) -> Iterator[Part]:
    if stream.starts() == "{":
        key = stream.first_key()
        reads = next((reads for keys, reads in _OBJECTS if key in keys), None)
        if reads is None:
            raise _not_understood(f"line {stream.line}: a JSON object that begins with {key!r} is none of them")
        yield from reads(stream, notes)
    elif stream.starts() == "[" and depth < _DEEPEST_LIST:
        yield from zipkin.grouped(_elements(stream, notes, depth), notes)
    else:
        raise _not_understood(f"line {stream.line}: no object and no list of objects")


def _elements(stream: JsonStream, notes: Notes, depth: int) -> Iterator[Part | zipkin.Span]:
    """The parts in a list; spans of Zipkin as they stand there, since they are read many at a time."""
    for _ in stream.elements():
        if stream.starts() == "{" and stream.first_key() in zipkin.KEYS:
            yield zipkin.span(stream)
        elif depth == 0 and stream.starts() == "[":
            yield from _elements(stream, notes, depth + 1)
            yield Part(b"", 0)  # the end of one trace: its spans are read together
        else:
            yield from _text(stream, notes, depth + 1)


def _otlp_json(stream: JsonStream, notes: Notes) -> Iterator[Part]:
    notes.format = notes.format or "OTLP JSON"
    return otlp.json_object(stream, notes)


def _other_signal(stream: JsonStream, notes: Notes) -> Iterator[Part]:
    """Metrics, logs and profiles, which the collector's file exporter writes in the same form."""
    notes.format = notes.format or "OTLP JSON"
    for key in stream.members():
        if key in _SIGNALS:
            for _ in stream.elements():
                stream.value()
            notes.other_signals += 1
        else:
            stream.value()
    return iter(())


_SIGNALS: Final = ("resourceMetrics", "resourceLogs", "resourceProfiles")
_OBJECTS: Final[tuple[tuple[frozenset[str], Callable[[JsonStream, Notes], Iterator[Part]]], ...]] = (
    (frozenset(["resourceSpans"]), _otlp_json),
    (frozenset(_SIGNALS), _other_signal),
    (jaeger.ANSWER_KEYS, jaeger.answer),
    (jaeger.TRACE_KEYS, jaeger.trace),
    (zipkin.KEYS, zipkin.one),
)


def _not_understood(why: str = "") -> BadInput:
    sentence = f"not a file of spans that clew understands: {UNDERSTOOD}"
    return BadInput(f"{sentence}; {why}" if why else sentence, code="not_understood")
