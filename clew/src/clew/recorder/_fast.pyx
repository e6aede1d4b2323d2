# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The hot path in C: what `_pure.py` and `buffer.py` do, in the same calls and to the same bytes.

Nothing here takes a lock. Under the GIL no other Python code runs between two steps of C code, so what has to be
consistent is so wherever an object is released, a garbage collection may start or Python code is called.
"""

from cpython.bool cimport PyBool_Check
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_Contains, PyDict_Copy, PyDict_Next, PyDict_SetItem
from cpython.float cimport PyFloat_CheckExact
from cpython.list cimport PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove

import os

cimport cython

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace import Span as ApiSpan
from opentelemetry.trace import Tracer as ApiTracer

from clew._otel import CONTEXT_NAMES, RUNTIME_CONTEXT_NAME, SPAN_KEY, context_variable
from clew import guard
from clew.otlp import encode
from clew.recorder import _pure
from clew.recorder.limits import UNUSABLE, as_key, clean, clean_attributes
from clew.recorder.oversize import shrink
from clew.recorder.sdk.readable import (
    NO_STATUS,
    Event,
    ReadableSpan,
    RecordedLink,
    TracerSurface,
    as_text,
    as_time_ns,
    foreign_parent,
    is_context,
    not_a_context,
)
from clew.recorder.sampler import AlwaysOff, AlwaysOn, ParentBased, TraceIdRatio

cdef extern from *:
    """
    #include <stdint.h>
    #if defined(_WIN32)
    #include <windows.h>
    static int64_t clew_monotonic_ns(void) {
        LARGE_INTEGER count, frequency;
        QueryPerformanceFrequency(&frequency);
        QueryPerformanceCounter(&count);
        return (int64_t)((double)count.QuadPart * 1e9 / (double)frequency.QuadPart);
    }
    static int64_t clew_wall_ns(void) {
        FILETIME time;
        ULARGE_INTEGER ticks;
        GetSystemTimePreciseAsFileTime(&time);
        ticks.LowPart = time.dwLowDateTime;
        ticks.HighPart = time.dwHighDateTime;
        return (int64_t)(ticks.QuadPart - 116444736000000000ULL) * 100;
    }
    #else
    #include <time.h>
    static int64_t clew_monotonic_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    static int64_t clew_wall_ns(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    #endif

    static PyObject *clew_int128(uint64_t high, uint64_t low) {
        unsigned char bytes[16];
        int n;
        for (n = 0; n < 8; n++) {
            bytes[n] = (unsigned char)(low >> (8 * n));
            bytes[8 + n] = (unsigned char)(high >> (8 * n));
        }
    #if PY_VERSION_HEX >= 0x030D0000
        return PyLong_FromUnsignedNativeBytes(bytes, 16, Py_ASNATIVEBYTES_LITTLE_ENDIAN);
    #else
        return _PyLong_FromByteArray(bytes, 16, 1, 0);
    #endif
    }

    /* A new, empty instance of a subclass of dict or of tuple, without what its own __new__ would check. */
    static PyObject *clew_new_dict(PyObject *type, PyObject *no_arguments) {
        return PyDict_Type.tp_new((PyTypeObject *)type, no_arguments, NULL);
    }
    static PyObject *clew_new_below(PyTypeObject *base, PyObject *type, PyObject *no_arguments) {
        return base->tp_new((PyTypeObject *)type, no_arguments, NULL);
    }
    static PyObject *clew_new_tuple(PyObject *type, PyObject *arguments) {
        return PyTuple_Type.tp_new((PyTypeObject *)type, arguments, NULL);
    }
    """
    int64_t clew_monotonic_ns() nogil
    int64_t clew_wall_ns() nogil
    object clew_int128(uint64_t high, uint64_t low)
    object clew_new_dict(object type, object no_arguments)
    object clew_new_tuple(object type, object arguments)
    object clew_new_below(type base, object type, object no_arguments)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void *PyUnicode_DATA(object text)
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLongMask(object value) except? 0xFFFFFFFFFFFFFFFF
    PyObject *PyDict_GetItemWithError(object items, object key) except? NULL
    int PyDict_Merge(object into, object items, int override) except -1
    int PyContextVar_Get(object variable, PyObject *default_value, PyObject **value) except -1
    object PyContextVar_Set(object variable, object value)
    int PyContextVar_Reset(object variable, object token) except -1
    void Py_DECREF(PyObject *value)
    Py_ssize_t PyDict_Size(object items)

cdef enum:
    SAMPLED = 1
    RANDOM = 2
    REMOTE_KNOWN = 0x100
    REMOTE = 0x200
    UNLIMITED = 0x7FFFFFFF
    CHUNK_BYTES = 65536
    RECORD_HEAD = 8
    SCRATCH_KEPT = 65536
    # How a tracer decides about roots without calling its sampler.
    ASK = 0
    KEEP = 1
    DROP = 2
    BY_RATIO = 3

cdef uint64_t RANDOM_MASK = (1 << 56) - 1

cdef object _context_class = Context
cdef object _context_module_names = CONTEXT_NAMES
cdef object _runtime_context_name = RUNTIME_CONTEXT_NAME
cdef object _span_key = SPAN_KEY
cdef object _span_context_class = SpanContext
cdef object _non_recording_class = NonRecordingSpan
cdef object _trace_flags = [TraceFlags(n) for n in range(256)]
cdef object _empty_state = TraceState()
cdef object _internal = SpanKind.INTERNAL
cdef object _server = SpanKind.SERVER
cdef object _client = SpanKind.CLIENT
cdef object _producer = SpanKind.PRODUCER
cdef object _consumer = SpanKind.CONSUMER
cdef object _kinds = [_internal, _server, _client, _producer, _consumer]
cdef object _make_event = Event
cdef object _make_link = RecordedLink
cdef object _no_status = NO_STATUS


# -- random ids -----------------------------------------------------------------------------------------------------------

cdef uint64_t[4] _random_state


cdef _seed():
    cdef bytes seed = os.urandom(32)
    memcpy(_random_state, PyBytes_AS_STRING(seed), 32)
    _random_state[0] |= 1  # all zero is the one state that never leaves itself


def _seed_in_child():
    _seed()


_seed()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_seed_in_child)


cdef inline uint64_t _rotate(uint64_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (64 - bits))


cdef inline uint64_t _random64() noexcept nogil:
    """xoshiro256++ (Blackman and Vigna, public domain)."""
    cdef uint64_t result = _rotate(_random_state[0] + _random_state[3], 23) + _random_state[0]
    cdef uint64_t carried = _random_state[1] << 17
    _random_state[2] ^= _random_state[0]
    _random_state[3] ^= _random_state[1]
    _random_state[1] ^= _random_state[2]
    _random_state[0] ^= _random_state[3]
    _random_state[2] ^= carried
    _random_state[3] = _rotate(_random_state[3], 45)
    return result


# -- writing OTLP ---------------------------------------------------------------------------------------------------------

cdef struct Out:
    unsigned char *at
    Py_ssize_t used
    Py_ssize_t room


# One memory to encode in, taken while in use: a span that ends within the end of another gets its own.
cdef Out _scratch
_scratch.at = NULL
_scratch.used = 0
_scratch.room = 0


cdef int _grow(Out *out, Py_ssize_t extra) except -1:
    cdef Py_ssize_t room = out.room * 2
    if room < out.used + extra:
        room = out.used + extra
    if room < 4096:
        room = 4096
    cdef unsigned char *at = <unsigned char *>realloc(out.at, room)
    if at == NULL:
        raise MemoryError
    out.at = at
    out.room = room
    return 0


cdef inline int _need(Out *out, Py_ssize_t extra) except -1:
    if out.room - out.used < extra:
        return _grow(out, extra)
    return 0


cdef inline int _varint_size(uint64_t value) noexcept nogil:
    cdef int size = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


cdef inline unsigned char *_varint(unsigned char *to, uint64_t value) noexcept nogil:
    while value > 0x7F:
        to[0] = <unsigned char>(value & 0x7F | 0x80)
        value >>= 7
        to += 1
    to[0] = <unsigned char>value
    return to + 1


cdef inline unsigned char *_little(unsigned char *to, uint64_t value, int size) noexcept nogil:
    cdef int n
    for n in range(size):
        to[n] = <unsigned char>(value >> (8 * n))
    return to + size


cdef inline unsigned char *_big64(unsigned char *to, uint64_t value) noexcept nogil:
    cdef int n
    for n in range(8):
        to[n] = <unsigned char>(value >> (56 - 8 * n))
    return to + 8


cdef inline const char *_utf8(object text, Py_ssize_t *size) except NULL:
    if PyUnicode_IS_COMPACT_ASCII(text):
        size[0] = PyUnicode_GET_LENGTH(text)
        return <const char *>PyUnicode_DATA(text)
    return PyUnicode_AsUTF8AndSize(text, size)


cdef bytes _replaced(object text):
    return text.encode("utf-8", "replace")


cdef int _put_delimited(Out *out, int tag, const char *data, Py_ssize_t size) except -1:
    _need(out, size + 11)
    cdef unsigned char *to = out.at + out.used
    to[0] = <unsigned char>tag
    to = _varint(to + 1, size)
    memcpy(to, data, size)
    out.used = to + size - out.at
    return 0


cdef int _put_text(Out *out, int tag, object text) except -1:
    """A string field; `?` for what UTF-8 cannot carry (lone surrogates)."""
    cdef Py_ssize_t size
    cdef const char *data
    cdef bytes raw
    try:
        data = _utf8(text, &size)
    except UnicodeEncodeError:
        raw = _replaced(text)
        return _put_delimited(out, tag, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    return _put_delimited(out, tag, data, size)


cdef inline int _put_count(Out *out, int tag, uint64_t count) except -1:
    _need(out, 11)
    out.at[out.used] = <unsigned char>tag
    out.used = _varint(out.at + out.used + 1, count) - out.at
    return 0


cdef inline Py_ssize_t _open(Out *out, int tag) except -1:
    """Begin a length-delimited field whose length is not known yet; one byte is left for it."""
    _need(out, 2)
    out.at[out.used] = <unsigned char>tag
    out.used += 2
    return out.used


cdef int _close(Out *out, Py_ssize_t begin) except -1:
    cdef Py_ssize_t size = out.used - begin
    cdef int more
    if size < 0x80:
        out.at[begin - 1] = <unsigned char>size
        return 0
    more = _varint_size(size) - 1
    _need(out, more)
    memmove(out.at + begin + more, out.at + begin, size)
    _varint(out.at + begin - 1, size)
    out.used += more
    return 0


cdef int _put_any(Out *out, object value) except -1:
    """The inside of an AnyValue; as `clew.otlp.encode.any_value`, for what `clean` makes."""
    cdef type kind = type(value)
    cdef int overflow = 0
    cdef long long number
    cdef double real
    cdef uint64_t bits
    cdef Py_ssize_t begin, n
    cdef bytes raw
    if value is None:
        return 0
    if kind is str:
        return _put_text(out, 0x0A, value)
    if kind is bool:
        _need(out, 2)
        out.at[out.used] = 0x10
        out.at[out.used + 1] = 1 if value is True else 0
        out.used += 2
        return 0
    if kind is int:
        number = PyLong_AsLongLongAndOverflow(value, &overflow)
        if overflow:
            return _put_text(out, 0x0A, encode.digits(value))
        return _put_count(out, 0x18, <uint64_t>number)
    if kind is float:
        real = value
        memcpy(&bits, &real, 8)
        _need(out, 9)
        out.at[out.used] = 0x21
        _little(out.at + out.used + 1, bits, 8)
        out.used += 9
        return 0
    if kind is bytes:
        return _put_delimited(out, 0x3A, PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))
    if kind is tuple:
        begin = _open(out, 0x2A)
        for n in range(PyTuple_GET_SIZE(value)):
            _put_element(out, <object>PyTuple_GET_ITEM(value, n))
        return _close(out, begin)
    if kind is dict:
        begin = _open(out, 0x32)
        _put_pairs(out, 0x0A, value)
        return _close(out, begin)
    raw = encode.any_value(value)
    _need(out, PyBytes_GET_SIZE(raw))
    memcpy(out.at + out.used, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
    out.used += PyBytes_GET_SIZE(raw)
    return 0


cdef int _put_element(Out *out, object value) except -1:
    cdef Py_ssize_t begin = _open(out, 0x0A)
    _put_any(out, value)
    return _close(out, begin)


cdef int _put_pair(Out *out, int tag, object key, object value) except -1:
    cdef Py_ssize_t begin = _open(out, tag)
    cdef Py_ssize_t inner
    if key:
        _put_text(out, 0x0A, key)
    inner = _open(out, 0x12)
    _put_any(out, value)
    _close(out, inner)
    return _close(out, begin)


cdef int _put_text_pair(Out *out, int tag, object key, object text) except -1:
    """A KeyValue of a string; the lengths come first, so that nothing is moved."""
    cdef Py_ssize_t key_size, size, value_size, pair_size
    cdef const char *key_data
    cdef const char *data
    cdef unsigned char *to
    try:
        key_data = _utf8(key, &key_size)
        data = _utf8(text, &size)
    except UnicodeEncodeError:
        return _put_pair(out, tag, key, text)
    value_size = 1 + _varint_size(size) + size
    pair_size = 1 + _varint_size(value_size) + value_size
    if key_size:
        pair_size += 1 + _varint_size(key_size) + key_size
    _need(out, pair_size + 11)
    to = out.at + out.used
    to[0] = <unsigned char>tag
    to = _varint(to + 1, pair_size)
    if key_size:
        to[0] = 0x0A
        to = _varint(to + 1, key_size)
        memcpy(to, key_data, key_size)
        to += key_size
    to[0] = 0x12
    to = _varint(to + 1, value_size)
    to[0] = 0x0A
    to = _varint(to + 1, size)
    memcpy(to, data, size)
    out.used = to + size - out.at
    return 0


cdef int _put_small_pair(Out *out, int tag, object key, int value_tag, uint64_t number) except -1:
    """A KeyValue of a bool or an integer."""
    cdef Py_ssize_t key_size, pair_size
    cdef const char *key_data
    cdef unsigned char *to
    cdef int value_size = 1 + _varint_size(number)
    cdef bytes raw
    try:
        key_data = _utf8(key, &key_size)
    except UnicodeEncodeError:
        raw = _replaced(key)
        key_data, key_size = PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw)
    pair_size = 2 + value_size
    if key_size:
        pair_size += 1 + _varint_size(key_size) + key_size
    _need(out, pair_size + 11)
    to = out.at + out.used
    to[0] = <unsigned char>tag
    to = _varint(to + 1, pair_size)
    if key_size:
        to[0] = 0x0A
        to = _varint(to + 1, key_size)
        memcpy(to, key_data, key_size)
        to += key_size
    to[0] = 0x12
    to[1] = <unsigned char>value_size
    to[2] = <unsigned char>value_tag
    out.used = _varint(to + 3, number) - out.at
    return 0


cdef int _put_pairs(Out *out, int tag, object items) except -1:
    cdef PyObject *found_key = NULL
    cdef PyObject *found_value = NULL
    cdef Py_ssize_t position = 0
    cdef type kind
    cdef int overflow
    cdef long long number
    while PyDict_Next(items, &position, &found_key, &found_value):
        # Kept alive: what cannot be encoded at once may let other threads run, who may write to the same span.
        key = <object>found_key
        value = <object>found_value
        kind = type(value)
        if kind is str:
            _put_text_pair(out, tag, key, value)
        elif kind is int:
            overflow = 0
            number = PyLong_AsLongLongAndOverflow(value, &overflow)
            if overflow:
                _put_pair(out, tag, key, value)
            else:
                _put_small_pair(out, tag, key, 0x18, <uint64_t>number)
        elif kind is bool:
            _put_small_pair(out, tag, key, 0x10, 1 if value is True else 0)
        else:
            _put_pair(out, tag, key, value)
    return 0


cdef int _put_event(Out *out, object given) except -1:
    cdef tuple event = <tuple>given  # a named tuple
    cdef Py_ssize_t begin = _open(out, 0x5A)
    cdef uint64_t time_ns = PyLong_AsUnsignedLongLongMask(event[1])
    cdef uint64_t dropped = event[3]
    if time_ns:
        _need(out, 9)
        out.at[out.used] = 0x09
        _little(out.at + out.used + 1, time_ns, 8)
        out.used += 9
    if event[0]:
        _put_text(out, 0x12, event[0])
    _put_pairs(out, 0x1A, event[2])
    if dropped:
        _put_count(out, 0x20, dropped)
    return _close(out, begin)


cdef int _put_id(Out *out, int tag, uint64_t high, uint64_t low, bint is_trace_id) except -1:
    cdef unsigned char *to
    if not (high or low):
        return 0
    _need(out, 18)
    to = out.at + out.used
    to[0] = <unsigned char>tag
    to[1] = 16 if is_trace_id else 8
    to += 2
    if is_trace_id:
        to = _big64(to, high)
    out.used = _big64(to, low) - out.at
    return 0


cdef int _put_link(Out *out, object given, str state) except -1:
    cdef tuple link = <tuple>given
    cdef Py_ssize_t begin = _open(out, 0x6A)
    context = link[0]
    trace_id, span_id = context.trace_id, context.span_id
    cdef uint64_t dropped = link[2]
    cdef uint32_t flags = (context.trace_flags & 0xFF) | REMOTE_KNOWN | (REMOTE if context.is_remote else 0)
    if not 0 <= trace_id < 1 << 128 or not 0 <= span_id < 1 << 64:
        raise OverflowError("an id that is none")
    _put_id(out, 0x0A, PyLong_AsUnsignedLongLongMask(trace_id >> 64), PyLong_AsUnsignedLongLongMask(trace_id), True)
    _put_id(out, 0x12, 0, PyLong_AsUnsignedLongLongMask(span_id), False)
    if state:
        _put_text(out, 0x1A, state)
    _put_pairs(out, 0x22, link[1])
    if dropped:
        _put_count(out, 0x28, dropped)
    _need(out, 5)
    out.at[out.used] = 0x35
    _little(out.at + out.used + 1, flags, 4)
    out.used += 5
    return _close(out, begin)


cdef object _last_state = _empty_state
cdef object _no_text = ""
cdef object _last_header = _no_text


cdef object _header(object state):
    """The text of a trace state; "" for none. Spans in a row have the same one, which cannot change."""
    global _last_state, _last_header
    if state is _empty_state:
        return _no_text
    if state is _last_state:
        return _last_header
    header = (state.to_header() if state else "") or _no_text
    _last_state = _empty_state  # releasing an object may bring somebody here, who must not find half a pair
    _last_header = header
    _last_state = state
    return header


# -- the buffer -----------------------------------------------------------------------------------------------------------

cdef struct Chunk:
    Chunk *next
    Py_ssize_t room
    Py_ssize_t head
    Py_ssize_t used
    Py_ssize_t spans
    unsigned char data[1]


cdef struct Group:
    # One scope's part of a batch: how its message begins and ends, the size of its spans, and where the next one goes.
    const char *prefix
    Py_ssize_t prefix_size
    const char *suffix
    Py_ssize_t suffix_size
    Py_ssize_t size
    unsigned char *to
    Py_ssize_t order


cdef Chunk *_new_chunk(Py_ssize_t room) noexcept nogil:
    cdef Chunk *chunk = <Chunk *>malloc(sizeof(Chunk) + room)
    if chunk != NULL:
        chunk.next = NULL
        chunk.room = room
        chunk.head = chunk.used = chunk.spans = 0
    return chunk


cdef void _free_chunks(Chunk *chunk) noexcept nogil:
    cdef Chunk *following
    while chunk != NULL:
        following = chunk.next
        free(chunk)
        chunk = following


cdef inline Py_ssize_t _message_size(const Group *group) noexcept nogil:
    return group.prefix_size + group.size + group.suffix_size


cdef Py_ssize_t _measure(const Chunk *chunk, Group *groups, Py_ssize_t *order, Py_ssize_t *present) noexcept nogil:
    """Sizes by scope, the scopes in the order of their first span; returns the size of all messages."""
    cdef Py_ssize_t at, total = 0, n
    cdef uint32_t[2] head
    present[0] = 0
    while chunk != NULL:
        at = chunk.head
        while at < chunk.used:
            memcpy(head, chunk.data + at, RECORD_HEAD)
            if not groups[head[0]].size:
                order[present[0]] = head[0]
                present[0] += 1
            groups[head[0]].size += head[1]
            at += RECORD_HEAD + head[1]
        chunk = chunk.next
    for n in range(present[0]):
        total += 1 + _varint_size(_message_size(&groups[order[n]])) + _message_size(&groups[order[n]])
    return total


cdef unsigned char *_write(const Chunk *chunk, Group *groups, const Py_ssize_t *order, Py_ssize_t present, unsigned char *to) noexcept nogil:
    cdef Py_ssize_t at, n
    cdef uint32_t[2] head
    cdef Group *group
    for n in range(present):
        group = &groups[order[n]]
        to[0] = 0x12
        to = _varint(to + 1, _message_size(group))
        memcpy(to, group.prefix, group.prefix_size)
        group.to = to + group.prefix_size
        to = group.to + group.size
        memcpy(to, group.suffix, group.suffix_size)
        to += group.suffix_size
    while chunk != NULL:
        at = chunk.head
        while at < chunk.used:
            memcpy(head, chunk.data + at, RECORD_HEAD)
            group = &groups[head[0]]
            memcpy(group.to, chunk.data + at + RECORD_HEAD, head[1])
            group.to += head[1]
            at += RECORD_HEAD + head[1]
        chunk = chunk.next
    return to


@cython.final
cdef class Buffer:
    """Encoded spans in the order they ended, and what became of all spans so far; see `clew.recorder.buffer`."""

    cdef object __weakref__
    cdef object _wake
    cdef list _scopes  # (encoded scope, schema URL): what they are known by
    cdef list _parts  # (prefix, suffix): what they are written as
    cdef dict _numbers  # the numbers, by what they are known by
    cdef list _users  # how many each number has
    cdef dict _retired  # numbers without a user, oldest first: free when so many spans have left the buffer
    cdef list _free
    cdef int64_t _left
    cdef Py_ssize_t _taking
    cdef Chunk *_first
    cdef Chunk *_last
    cdef Chunk *_spare
    cdef Py_ssize_t _max_spans, _max_bytes, _urgent, _urgent_bytes
    cdef public Py_ssize_t max_span_bytes
    cdef bint _drop_oldest
    cdef Py_ssize_t _spans, _bytes
    cdef int64_t _recorded, _sent, _written_off, _full
    cdef dict _dropped
    cdef object _written_off_as
    cdef object _closed_as
    cdef bint _is_closed

    def __cinit__(self):
        self._first = self._last = self._spare = NULL

    def __init__(
        self, max_spans, max_bytes, urgent, wake, *, urgent_bytes=0, max_span_bytes=0, drop_oldest=False
    ):
        """`wake` is called, from the thread that ends the span, when the first is held, when the `urgent`-th is, and
        when `urgent_bytes` are reached; not by a span that another had to make room for.

        A span of more than `max_span_bytes` is shrunk to that. When the buffer is full the span that comes is dropped,
        with `drop_oldest` as many of the oldest as it takes. 0 is no bound; `max_bytes` bounds a span too.
        """
        self._max_spans = max_spans
        self._max_bytes = max_bytes
        self._urgent = urgent
        self._urgent_bytes = urgent_bytes
        self._drop_oldest = drop_oldest
        self.max_span_bytes = min(max_span_bytes or max_bytes, max_bytes)
        self._wake = wake
        self._scopes = []
        self._parts = []
        self._numbers = {}
        self._users = []
        self._retired = {}
        self._free = []
        self.reset()

    def __dealloc__(self):
        _free_chunks(self._first)
        free(self._spare)

    def reset(self):
        """Forget everything, counts included: for the child after a fork, whose parent sends what was held."""
        self._clear()
        self._recorded = self._sent = self._written_off = self._full = 0
        self._dropped = {}
        self._written_off_as = ""
        self._closed_as = ""
        self._is_closed = False
        self._left = 0
        self._taking = 0
        self._retired = dict.fromkeys(self._retired, 0)

    cdef void _clear(self) noexcept:
        cdef Chunk *chunk = self._first
        self._first = self._last = NULL
        self._left += self._spans
        self._spans = self._bytes = 0
        _free_chunks(chunk)

    def scope(self, bytes scope_bytes, str schema_url):
        """The number under which spans of this scope are added, for one more user; the same scope has the same number.

        Takes the same time however many scopes there are.
        """
        cdef Py_ssize_t number
        wanted = (scope_bytes, schema_url)
        known = self._numbers.get(wanted)
        if known is None:
            prefix = encode.delimited(1, scope_bytes)
            suffix = encode.delimited(3, encode.utf8(schema_url)) if schema_url else b""
            part = (prefix, suffix)
            self._find_free()
            known = self._numbers.get(wanted)  # a garbage collection may have come here in between
            if known is None:
                if self._free:
                    known = self._free.pop()
                    self._scopes[known] = wanted
                    self._parts[known] = part
                else:
                    known = len(self._scopes)
                    self._scopes.append(wanted)
                    self._parts.append(part)
                    self._users.append(0)
                self._numbers[wanted] = known
        self._retired.pop(known, None)
        number = known
        self._users[number] += 1
        return known

    def release(self, Py_ssize_t number):
        """One user of this scope adds no more spans. Without any, the number is another's once its spans are sent."""
        self._users[number] -= 1
        if not self._users[number]:
            self._retired[number] = self._left + self._spans

    cdef int _find_free(self) except -1:
        # Not while spans are on their way out of here, whose numbers are still looked up.
        while self._retired and not self._taking:
            number = next(iter(self._retired))
            if self._retired[number] > self._left:
                break
            del self._retired[number]
            known_as = self._scopes[number]
            if self._numbers.get(known_as) == number:
                del self._numbers[known_as]
            self._free.append(number)
        return 0

    def add(self, Py_ssize_t scope, bytes span):
        """Hold one encoded span (an element of ScopeSpans.spans), or count it as dropped; never blocks.

        Dropped as `buffer_full`, `too_large` (it cannot be shrunk so far) or what `close` was told.
        """
        if not 0 <= scope < PyList_GET_SIZE(self._parts):
            raise IndexError("no such scope")
        self._push(scope, <const unsigned char *>PyBytes_AS_STRING(span), PyBytes_GET_SIZE(span))

    cdef int _push(self, Py_ssize_t scope, const unsigned char *span, Py_ssize_t size) except -1:
        cdef Chunk *chunk
        cdef Py_ssize_t held, bytes_before, bytes_after
        cdef uint32_t[2] head
        if size > self.max_span_bytes:
            return self._push_large(scope, span[:size])
        self._recorded += 1
        if self._is_closed:
            return self._count(self._closed_as, 1)
        held = self._spans + 1
        bytes_before = self._bytes
        bytes_after = bytes_before + size
        if held > self._max_spans or bytes_after > self._max_bytes:
            if not self._drop_oldest or not self._spans:
                self._full += 1
                return 0
            while True:
                self._full += 1
                self._drop_first()
                bytes_after = self._bytes + size
                if bytes_after <= self._max_bytes:
                    break
            held = 0  # nobody is woken: somebody was when room was still there
            bytes_before = bytes_after
        chunk = self._last
        if chunk == NULL or chunk.room - chunk.used < size + RECORD_HEAD:
            chunk = self._add_chunk(size + RECORD_HEAD)
            if chunk == NULL:
                self._full += 1  # no memory is no place either
                return 0
        head[0] = <uint32_t>scope
        head[1] = <uint32_t>size
        memcpy(chunk.data + chunk.used, head, RECORD_HEAD)
        memcpy(chunk.data + chunk.used + RECORD_HEAD, span, size)
        chunk.used += size + RECORD_HEAD
        chunk.spans += 1
        self._bytes += size
        self._spans += 1
        if held == 1 or held == self._urgent or bytes_before < self._urgent_bytes <= bytes_after:
            self._wake()
        return 0

    cdef int _push_large(self, Py_ssize_t scope, bytes span) except -1:
        cdef bytes shrunk = shrink(span, self.max_span_bytes)
        if shrunk is None:
            self.count_lost("too_large")
            return 0
        return self._push(scope, <const unsigned char *>PyBytes_AS_STRING(shrunk), PyBytes_GET_SIZE(shrunk))

    cdef void _drop_first(self) noexcept:
        cdef Chunk *chunk = self._first
        cdef uint32_t[2] head
        memcpy(head, chunk.data + chunk.head, RECORD_HEAD)
        chunk.head += RECORD_HEAD + head[1]
        chunk.spans -= 1
        self._spans -= 1
        self._left += 1
        self._bytes -= head[1]
        if not chunk.spans:
            self._first = chunk.next
            if self._first == NULL:
                self._last = NULL
            chunk.next = NULL
            self._recycle(chunk)

    cdef Chunk *_add_chunk(self, Py_ssize_t room) noexcept:
        cdef Chunk *chunk = self._spare
        if chunk != NULL and chunk.room >= room:
            self._spare = NULL
            chunk.next = NULL
            chunk.head = chunk.used = chunk.spans = 0
        else:
            chunk = _new_chunk(room if room > CHUNK_BYTES else CHUNK_BYTES)
            if chunk == NULL:
                return NULL
        if self._last == NULL:
            self._first = chunk
        else:
            self._last.next = chunk
        self._last = chunk
        return chunk

    cdef int _count(self, object reason, int64_t spans) except -1:
        self._dropped[reason] = self._dropped.get(reason, 0) + spans
        return 0

    cdef Chunk *_detach(self, Py_ssize_t max_spans, Py_ssize_t max_bytes, Py_ssize_t *taken) except? NULL:
        """Take chunks off the front, the last of them in part; touches no span but those of that last one."""
        cdef Chunk *first = NULL
        cdef Chunk *last = NULL
        cdef Chunk *chunk
        cdef Chunk *part
        cdef Py_ssize_t size = 0, spans, at
        cdef uint32_t[2] head
        taken[0] = 0
        while self._first != NULL and taken[0] < max_spans:
            chunk = self._first
            spans = chunk.spans
            at = chunk.used - chunk.head - spans * RECORD_HEAD
            if taken[0] + spans <= max_spans and size + at <= max_bytes:
                self._first = chunk.next
                if self._first == NULL:
                    self._last = NULL
                chunk.next = NULL
                part = chunk
                size += at
            else:
                spans = 0
                at = chunk.head
                while at < chunk.used and taken[0] + spans < max_spans:
                    memcpy(head, chunk.data + at, RECORD_HEAD)
                    if taken[0] + spans and size + head[1] > max_bytes:
                        break
                    size += head[1]
                    at += RECORD_HEAD + head[1]
                    spans += 1
                if not spans:
                    break
                part = _new_chunk(at - chunk.head)
                if part == NULL:
                    self._put_back(first, last, taken[0])
                    raise MemoryError
                memcpy(part.data, chunk.data + chunk.head, at - chunk.head)
                part.used = at - chunk.head
                part.spans = spans
                chunk.head = at
                chunk.spans -= spans
                if not chunk.spans:
                    self._first = chunk.next
                    if self._first == NULL:
                        self._last = NULL
                    free(chunk)
                max_spans = taken[0] + spans  # it was the last
            if last == NULL:
                first = part
            else:
                last.next = part
            last = part
            taken[0] += spans
            self._spans -= spans
            self._left += spans
            self._bytes -= part.used - part.head - spans * RECORD_HEAD
        return first

    cdef void _put_back(self, Chunk *first, Chunk *last, Py_ssize_t taken) noexcept:
        cdef Chunk *chunk = first
        if first == NULL:
            return
        while chunk != NULL:
            self._bytes += chunk.used - chunk.head - chunk.spans * RECORD_HEAD
            last = chunk
            chunk = chunk.next
        self._spans += taken
        self._left -= taken
        last.next = self._first
        self._first = first
        if self._last == NULL:
            self._last = last

    def take(self, Py_ssize_t max_spans, Py_ssize_t max_bytes, bytes resource=b"", str schema_url=""):
        """The oldest spans, at most so many and (beyond the first) so many bytes: their number, and the request that
        sends them, of this (encoded) resource. (0, b"") when nothing is held.

        The interpreter lock is let go while spans are copied, which they are once.
        """
        cdef Py_ssize_t taken = 0, present = 0, total, n, scopes
        cdef Chunk *chunks
        cdef Group *groups
        cdef Py_ssize_t *order
        cdef unsigned char *to
        cdef bytes result, prefix, suffix, before, after
        cdef list parts
        if not self._spans or max_spans <= 0:
            return 0, b""
        before = encode.delimited(1, resource)
        after = encode.delimited(3, encode.utf8(schema_url)) if schema_url else b""
        # From here to `_detach` no other Python code runs: these are the scopes of the spans that are held.
        parts = list(self._parts)
        scopes = PyList_GET_SIZE(parts)
        groups = <Group *>calloc(scopes, sizeof(Group))
        order = <Py_ssize_t *>calloc(scopes, sizeof(Py_ssize_t))
        chunks = NULL
        self._taking += 1
        try:
            if groups == NULL or order == NULL:
                raise MemoryError
            for n in range(scopes):
                prefix, suffix = parts[n]
                groups[n].prefix = PyBytes_AS_STRING(prefix)
                groups[n].prefix_size = PyBytes_GET_SIZE(prefix)
                groups[n].suffix = PyBytes_AS_STRING(suffix)
                groups[n].suffix_size = PyBytes_GET_SIZE(suffix)
            chunks = self._detach(max_spans, max_bytes, &taken)
            with nogil:
                total = _measure(chunks, groups, order, &present)
            total += PyBytes_GET_SIZE(before) + PyBytes_GET_SIZE(after)
            try:
                result = PyBytes_FromStringAndSize(NULL, 1 + _varint_size(total) + total)
            except MemoryError:
                self._put_back(chunks, NULL, taken)
                chunks = NULL
                raise
            to = <unsigned char *>PyBytes_AS_STRING(result)
            to[0] = 0x0A
            to = _varint(to + 1, total)
            memcpy(to, PyBytes_AS_STRING(before), PyBytes_GET_SIZE(before))
            to += PyBytes_GET_SIZE(before)
            with nogil:
                to = _write(chunks, groups, order, present, to)
            memcpy(to, PyBytes_AS_STRING(after), PyBytes_GET_SIZE(after))
        finally:
            self._taking -= 1
            free(groups)
            free(order)
            self._recycle(chunks)
        return taken, result

    cdef void _recycle(self, Chunk *chunks) noexcept:
        """Free them, one excepted: a buffer that is emptied and filled again asks for no memory."""
        cdef Chunk *following
        if chunks != NULL and self._spare == NULL and chunks.room == CHUNK_BYTES:
            following = chunks.next
            chunks.next = NULL
            self._spare = chunks
            chunks = following
        _free_chunks(chunks)

    @property
    def held(self):
        """Spans held now."""
        return self._spans

    @property
    def held_bytes(self):
        """Their encoded bytes."""
        return self._bytes

    def close(self, reason):
        """What is held is dropped, and whatever comes from now on."""
        cdef Py_ssize_t held = self._spans
        self._closed_as = reason
        self._is_closed = True
        self._clear()
        if held:
            self._count(reason, held)

    def count_sent(self, int64_t spans):
        """These were delivered."""
        self._take_back(spans)
        self._sent += spans

    def count_dropped(self, reason, int64_t spans):
        """These were taken, and are lost."""
        if spans:
            self._take_back(spans)
            self._count(reason, spans)

    def count_lost(self, reason):
        """One span ended that never came to `add`."""
        self._recorded += 1
        self._count(reason, 1)

    def write_off(self, reason):
        """What is on its way counts as dropped, unless the sender still says what became of it."""
        cdef int64_t lost = self._recorded - self._sent - self._full - <int64_t>sum(self._dropped.values()) - self._spans
        if lost > 0:
            self._count(reason, lost)
            self._written_off = lost
            self._written_off_as = reason

    cdef int _take_back(self, int64_t spans) except -1:
        cdef int64_t known
        if self._written_off:
            known = min(self._written_off, spans)
            self._written_off -= known
            self._count(self._written_off_as, -known)
        return 0

    def stats(self):
        """`{"recorded", "sent", "dropped": {reason: n}}`."""
        dropped = {reason: count for reason, count in self._dropped.items() if count}
        if self._full:
            dropped["buffer_full"] = dropped.get("buffer_full", 0) + self._full
        return {"recorded": self._recorded, "sent": self._sent, "dropped": dropped}


# -- where the current span is kept ---------------------------------------------------------------------------------------

cdef object _known_runtime = None
cdef object _known_variable = None


cdef inline object _variable():
    """The ContextVar OpenTelemetry's API keeps its context in; None where it is kept elsewhere."""
    cdef PyObject *runtime = PyDict_GetItemWithError(_context_module_names, _runtime_context_name)
    if runtime != <PyObject *>_known_runtime:
        _learn_runtime(None if runtime == NULL else <object>runtime)
    return _known_variable


cdef int _learn_runtime(object runtime) except -1:
    global _known_runtime, _known_variable
    _known_variable = context_variable(runtime)
    _known_runtime = runtime
    return 0


cdef inline object _current_context():
    return _context_of(_variable())


cdef inline object _context_of(object variable):
    cdef PyObject *value = NULL
    if variable is None:
        return get_current()
    PyContextVar_Get(variable, NULL, &value)
    if value == NULL:
        return get_current()
    context = <object>value
    Py_DECREF(value)
    return context


cdef inline object _found_in(object context):
    cdef PyObject *found
    if type(context) is _context_class:
        found = PyDict_GetItemWithError(context, _span_key)
        return None if found == NULL else <object>found
    return context.get(_span_key)


cdef inline object _field(object span_context, Py_ssize_t n):
    """A field of a SpanContext, a tuple whose class looks its own fields up in a way that costs ten times this."""
    if isinstance(span_context, tuple) and n < PyTuple_GET_SIZE(span_context):
        return <object>PyTuple_GET_ITEM(span_context, n)
    return span_context[n]


cdef inline object _with_span(object context, object span):
    """A copy of the context that has this span; a Context refuses changes by its own method, nobody else has seen it yet."""
    changed = clew_new_dict(_context_class, ())
    PyDict_Merge(changed, context, 1)
    PyDict_SetItem(changed, _span_key, span)
    return changed


# -- headers --------------------------------------------------------------------------------------------------------------

cdef inline bint _hex64(const unsigned char *at, uint64_t *number) noexcept nogil:
    """16 lower-case hexadecimal digits; False where there are others."""
    cdef int n
    cdef uint64_t value = 0
    for n in range(16):
        if 48 <= at[n] <= 57:
            value = value << 4 | (at[n] - 48)
        elif 97 <= at[n] <= 102:
            value = value << 4 | (at[n] - 87)
        else:
            return False
    number[0] = value
    return True


def read_parent(value, context):
    """A copy of `context` with the parent that a traceparent in its usual form names; None where it has another form.

    The usual form has version 00, two ids that are not zero, and flags without the random bit. The twin of the beginning of
    `TraceContextPropagator.extract_plain`, which reads the others.
    """
    cdef const unsigned char *at
    cdef uint64_t high, low, span_id
    if type(value) is not bytes or PyBytes_GET_SIZE(value) != 55:
        return None
    at = <const unsigned char *>PyBytes_AS_STRING(value)
    if at[0] != 48 or at[1] != 48 or at[2] != 45 or at[35] != 45 or at[52] != 45 or at[53] != 48 or at[54] < 48 or at[54] > 49:
        return None
    if not _hex64(at + 3, &high) or not _hex64(at + 19, &low) or not _hex64(at + 36, &span_id):
        return None
    if not (high or low) or not span_id:
        return None
    fields = (clew_int128(high, low), span_id, True, _trace_flags[at[54] - 48], _empty_state, True)
    return _with_span(context, _non_recording_class(clew_new_tuple(_span_context_class, (fields,))))


def read_names(pairs):
    """The index of ASGI's pairs, and their names, a line each; None unless each name came once and in lower case.

    The twin of the usual case of `AsgiCarrier.plain_index`, which reads the others.
    """
    cdef dict index = {}
    cdef Py_ssize_t n, m, size = 0
    cdef const unsigned char *at
    cdef bint is_lower = False
    cdef bytes name, names
    cdef char *to
    if type(pairs) is not list:
        return None
    for n in range(PyList_GET_SIZE(pairs)):
        pair = (<list>pairs)[n]
        if type(pair) is not tuple or PyTuple_GET_SIZE(pair) != 2:
            return None
        item = <object>PyTuple_GET_ITEM(pair, 0)
        if type(item) is not bytes:
            return None
        name = <bytes>item
        at = <const unsigned char *>PyBytes_AS_STRING(name)
        for m in range(PyBytes_GET_SIZE(name)):
            if 65 <= at[m] <= 90:
                return None
            is_lower |= 97 <= at[m] <= 122
        PyDict_SetItem(index, name, <object>PyTuple_GET_ITEM(pair, 1))
        size += PyBytes_GET_SIZE(name) + 1
    if not is_lower or PyDict_Size(index) != PyList_GET_SIZE(pairs):
        return None
    names = PyBytes_FromStringAndSize(NULL, size - 1)
    to = PyBytes_AS_STRING(names)
    for n in range(PyList_GET_SIZE(pairs)):
        name = <bytes><object>PyTuple_GET_ITEM((<list>pairs)[n], 0)
        memcpy(to, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        to += PyBytes_GET_SIZE(name)
        if n + 1 < PyList_GET_SIZE(pairs):
            to[0] = 10
            to += 1
    return index, names


# -- spans ----------------------------------------------------------------------------------------------------------------

@cython.freelist(64)
cdef class SpanCore:
    """The state of a recording span, by the names `clew.recorder.sdk.readable.RawSpan` lists, and what every span does."""

    cdef object __weakref__
    cdef dict __dict__
    cdef readonly TracerCore _tracer
    cdef public object _name
    cdef readonly object _parent
    cdef readonly object _trace_state
    cdef readonly dict _attributes
    cdef readonly list _recorded_events
    cdef readonly list _recorded_links
    cdef public object _status
    cdef object _made_context
    cdef uint64_t _trace_high, _trace_low, _span_id
    cdef int64_t _anchor_ns
    cdef public uint64_t _start_ns, _end_ns
    cdef readonly Py_ssize_t _dropped_attributes, _dropped_events, _dropped_links
    cdef readonly int _flags
    cdef int _kind_number
    cdef readonly bint _record_exception, _set_status_on_exception

    @property
    def _kind(self):
        return _kinds[self._kind_number]

    @_kind.setter
    def _kind(self, kind):
        # For APIs that say it after the start.
        self._kind_number = _number_of(kind)

    # -- writing ------------------------------------------------------------------------------------------------------

    def set_attribute(self, key, value):
        """Set one attribute; a new key past the limit is dropped and counted."""
        self._set(key, value)

    cdef int _set(self, object key, object value) except -1:
        cdef TracerCore tracer = self._tracer
        cdef type kind = type(value)
        if self._end_ns and self._refuses("set_attribute"):
            return 0
        if kind is str:
            if tracer._length >= 0:
                value = value[: tracer._length]
        elif not (kind is int or kind is bool or kind is float):
            value = clean(value, tracer.limits.max_span_attribute_length)
            if value is UNUSABLE:
                self._dropped_attributes += 1
                return 0
        if type(key) is not str or not PyUnicode_GET_LENGTH(key):
            key = as_key(key)
            if not key:
                self._dropped_attributes += 1
                return 0
        if PyDict_Size(self._attributes) >= tracer._most_attributes and not PyDict_Contains(self._attributes, key):
            self._dropped_attributes += 1
            return 0
        return PyDict_SetItem(self._attributes, key, value)

    cdef bint _may_copy(self, dict attributes) noexcept:
        """Whether a copy of `attributes` is what setting them one by one would make of a span without attributes."""
        cdef TracerCore tracer = self._tracer
        cdef PyObject *key
        cdef PyObject *value
        cdef Py_ssize_t position = 0
        if (
            tracer._length >= 0
            or self._attributes is None
            or PyDict_Size(self._attributes)
            or PyDict_Size(attributes) > tracer._most_attributes
        ):
            return False
        while PyDict_Next(attributes, &position, &key, &value):
            if not PyUnicode_CheckExact(<object>key) or not PyUnicode_GET_LENGTH(<object>key):
                return False
            if not (
                PyUnicode_CheckExact(<object>value)
                or PyLong_CheckExact(<object>value)
                or PyBool_Check(<object>value)
                or PyFloat_CheckExact(<object>value)
            ):
                return False
        return True

    def set_attributes(self, attributes):
        """Set several attributes, in their order."""
        cdef dict copy
        if self._end_ns and self._refuses("set_attributes"):
            return
        try:
            if type(attributes) is dict and self._may_copy(<dict>attributes):
                copy = PyDict_Copy(<dict>attributes)
                # Copying may collect garbage, and what is collected may write to this span.
                if not PyDict_Size(self._attributes):
                    self._attributes = copy
                    return
            for key, value in attributes.items():
                self._set(key, value)
        except Exception as error:
            guard.swallow("set_attributes", error)

    def add_event(self, name, attributes=None, timestamp=None):
        """Add an event, now or at `timestamp` (ns since the epoch); past the limit it is dropped and counted."""
        cdef TracerCore tracer = self._tracer
        cdef list events
        if self._end_ns and self._refuses("add_event"):
            return
        events = self._recorded_events
        if events is None:
            events = self._recorded_events = []
        if PyList_GET_SIZE(events) >= tracer._most_events:
            self._dropped_events += 1
            return
        time = self._anchor_ns + clew_monotonic_ns() if timestamp is None else as_time_ns(timestamp)
        limits = tracer.limits
        kept, dropped = clean_attributes(attributes, limits.max_event_attributes, limits.max_attribute_length)
        events.append(_make_event(as_text(name), time, kept, dropped))

    def add_link(self, context, attributes=None):
        """Link another span; past the limit the link is dropped and counted."""
        cdef TracerCore tracer = self._tracer
        cdef list links
        if self._end_ns and self._refuses("add_link"):
            return
        # The specification: a link without a valid context is kept if it says anything at all.
        if not is_context(context) or not (context.is_valid or attributes or context.trace_state):
            return
        links = self._recorded_links
        if links is None:
            links = self._recorded_links = []
        if PyList_GET_SIZE(links) >= tracer._most_links:
            self._dropped_links += 1
            return
        limits = tracer.limits
        kept, dropped = clean_attributes(attributes, limits.max_link_attributes, limits.max_attribute_length)
        links.append(_make_link(context, kept, dropped))

    def end(self, end_time=None):
        """End the span, now or at `end_time` (ns since the epoch), and hand it to the exporter."""
        self._end(end_time)

    cdef int _end(self, object end_time) except -1:
        cdef TracerCore tracer = self._tracer
        cdef uint64_t end_ns
        if end_time is None:
            end_ns = <uint64_t>(self._anchor_ns + clew_monotonic_ns())
        else:
            end_ns = as_time_ns(end_time) or self._start_ns or 1
        # Nothing is called between the question and the answer: of two threads that end a span, one does.
        if self._end_ns:
            self._refuses("end")
            return 0
        self._end_ns = end_ns
        if tracer.observed:
            tracer.sink.ending(self)
        if self._flags & SAMPLED and tracer._sends:
            try:
                self._encode(tracer)
            except Exception as error:
                tracer._held_by.count_lost("encoding")
                guard.swallow("encoding a span", error)
        if tracer.observed:
            tracer.sink.ended(self)
        return 0

    def __enter__(self):
        return self

    # -- reading ------------------------------------------------------------------------------------------------------

    def is_recording(self):
        """Whether the span has not ended."""
        return not self._end_ns

    def get_span_context(self):
        """The span's context, the same object at each call."""
        return self._context_object()

    cdef object _context_object(self):
        if self._made_context is None:
            self._made_context = _span_context(
                self._trace_high, self._trace_low, self._span_id, self._flags, self._trace_state
            )
        return self._made_context

    # -- encoding -----------------------------------------------------------------------------------------------------

    cdef int _encode(self, TracerCore tracer) except -1:
        """Write the span into the buffer. What may run Python code is asked before the first byte is written."""
        global _scratch
        cdef Out out
        cdef unsigned char *to
        cdef Py_ssize_t size, begin
        cdef uint32_t flags = self._flags | REMOTE_KNOWN
        cdef uint64_t parent_id = 0
        cdef int code = 0
        cdef Py_ssize_t n
        cdef list states = None
        message = ""
        state = _header(self._trace_state)
        parent = self._parent
        if parent is not None:
            parent_id = PyLong_AsUnsignedLongLongMask(_field(parent, 1))
            if _field(parent, 2):
                flags |= REMOTE
        status = self._status
        if status is not _no_status:
            code = status.status_code.value
            message = status.description or ""
        if self._recorded_links is not None:
            states = [_header(link[0].trace_state) for link in self._recorded_links]

        out = _scratch
        _scratch.at = NULL
        _scratch.room = 0
        try:
            _need_first(&out)
            # The tag and up to five bytes of length go before it, when it is known.
            out.used = 6
            to = out.at + 6
            to[0] = 0x0A
            to[1] = 16
            to = _big64(_big64(to + 2, self._trace_high), self._trace_low)
            to[0] = 0x12
            to[1] = 8
            to = _big64(to + 2, self._span_id)
            out.used = to - out.at
            if state is not _no_text:
                _put_text(&out, 0x1A, state)
            if parent_id:
                _put_id(&out, 0x22, 0, parent_id, False)
            if type(self._name) is not str or PyUnicode_GET_LENGTH(self._name):
                _put_text(&out, 0x2A, self._name)
            _need(&out, 20)
            to = out.at + out.used
            to[0] = 0x30
            to[1] = <unsigned char>(self._kind_number + 1)
            to += 2
            if self._start_ns:
                to[0] = 0x39
                to = _little(to + 1, self._start_ns, 8)
            to[0] = 0x41
            to = _little(to + 1, self._end_ns, 8)
            out.used = to - out.at
            _put_pairs(&out, 0x4A, self._attributes)
            if self._dropped_attributes:
                _put_count(&out, 0x50, self._dropped_attributes)
            if self._recorded_events is not None:
                for event in self._recorded_events:
                    _put_event(&out, event)
            if self._dropped_events:
                _put_count(&out, 0x60, self._dropped_events)
            if states is not None:
                for n in range(len(states)):
                    _put_link(&out, self._recorded_links[n], states[n])
            if self._dropped_links:
                _put_count(&out, 0x70, self._dropped_links)
            if code:
                begin = _open(&out, 0x7A)
                if message:
                    _put_text(&out, 0x12, message)
                _put_count(&out, 0x18, code)
                _close(&out, begin)
            _need(&out, 6)
            to = out.at + out.used
            to[0] = 0x85
            to[1] = 0x01
            _little(to + 2, flags, 4)
            out.used += 6
            size = out.used - 6
            n = 5 - _varint_size(size)
            out.at[n] = 0x12
            _varint(out.at + n + 1, size)
            tracer._held_by._push(tracer.scope_number, out.at + n, out.used - n)
        finally:
            if _scratch.at == NULL and out.room <= SCRATCH_KEPT:
                _scratch = out
            else:
                free(out.at)
        return 0


class Span(SpanCore, ReadableSpan, ApiSpan):
    """A recording span. Written to until `end`, then read-only; safe to share between threads."""

    __slots__ = ()


@cython.final
@cython.freelist(64)
cdef class DroppedSpan:
    """A span that is not recorded: a NonRecordingSpan whose context is made when somebody asks for it."""

    cdef object __weakref__
    cdef dict __dict__
    cdef object _made_context
    cdef object _trace_state
    cdef uint64_t _trace_high, _trace_low, _span_id
    cdef int _flags

    @property
    def _context(self):
        return self._context_object()

    cdef object _context_object(self):
        if self._made_context is None:
            self._made_context = _span_context(
                self._trace_high, self._trace_low, self._span_id, self._flags, self._trace_state
            )
        return self._made_context

    def get_span_context(self):
        """The span's context, the same object at each call."""
        return self._context_object()

    def is_recording(self):
        """False."""
        return False

    def end(self, end_time=None):
        """Does nothing, as all that follows."""

    def set_attribute(self, key, value):
        """Does nothing."""

    def set_attributes(self, attributes):
        """Does nothing."""

    def add_event(self, name, attributes=None, timestamp=None):
        """Does nothing."""

    def add_link(self, context, attributes=None):
        """Does nothing."""

    def update_name(self, name):
        """Does nothing."""

    def set_status(self, status, description=None):
        """Does nothing."""

    def record_exception(self, exception, attributes=None, timestamp=None, escaped=False):
        """Does nothing."""

    def __enter__(self):
        return self

    def __exit__(self, exc_type, exc_val, exc_tb):
        pass

    def __repr__(self):
        return f"NonRecordingSpan({self._context_object()!r})"


cdef inline int _need_first(Out *out) except -1:
    out.used = 0
    if out.at == NULL:
        out.room = 0
        return _grow(out, 4096)
    return 0


cdef object _span_context(uint64_t high, uint64_t low, uint64_t span_id, int flags, object state):
    # SpanContext.__new__ checks what is known here; the layout is that of its properties.
    fields = (clew_int128(high, low), span_id, False, _trace_flags[flags & 0xFF], state, True)
    return clew_new_tuple(_span_context_class, (fields,))


@cython.final
@cython.freelist(64)
cdef class CurrentSpan:
    """What `start_as_current_span` gives: a context manager, and a decorator of plain and async functions.

    The span starts with the block, is current inside it and ends with it. As in OpenTelemetry, only an `Exception`
    is recorded: GeneratorExit, KeyboardInterrupt and cancellation are no errors of the span.
    """

    cdef TracerCore _tracer
    cdef object _name, _context, _kind, _attributes, _links, _start_time
    cdef bint _record_exception, _set_status_on_exception, _ends
    cdef object _span, _token, _variable

    def __enter__(self):
        """Start the span and make it current."""
        span = self._tracer._start(
            self._name,
            self._context,
            self._kind,
            self._attributes,
            self._links,
            self._start_time,
            self._record_exception,
            self._set_status_on_exception,
        )
        self._span = span
        variable = self._variable = _variable()
        context = _with_span(_context_of(variable), span)
        self._token = attach(context) if variable is None else PyContextVar_Set(variable, context)
        return span

    def __exit__(self, exc_type, exc_val, exc_tb):
        """Make the span no longer current, and end it."""
        if self._variable is None:
            detach(self._token)
        else:
            try:
                PyContextVar_Reset(self._variable, self._token)
            except Exception:
                detach(self._token)  # fails likewise, and says so as OpenTelemetry does
        span = self._span
        if exc_val is not None and isinstance(exc_val, Exception) and type(span) is Span:
            span._fail(exc_val)
        if self._ends:
            if type(span) is Span:
                (<SpanCore>span)._end(None)
            elif type(span) is not DroppedSpan:
                span.end()

    def __call__(self, function):
        """Wrap `function` so that each call has a span of its own."""
        arguments = (
            self._name,
            self._context,
            self._kind,
            self._attributes,
            self._links,
            self._start_time,
            self._record_exception,
            self._set_status_on_exception,
        )
        return _pure.CurrentSpan(self._tracer, arguments, self._ends)(function)


cdef class TracerCore:
    """What every span asks of its tracer, and how spans start."""

    cdef object __weakref__
    cdef dict __dict__
    cdef readonly object sink, scope, limits, buffer
    cdef readonly Py_ssize_t scope_number
    cdef public bint observed
    cdef Buffer _held_by
    cdef bint _sends
    cdef object _sampler
    cdef readonly object _id_generator
    cdef int _roots  # ASK, KEEP, DROP or BY_RATIO
    cdef bint _follows  # a parent's decision is the span's
    cdef uint64_t _threshold
    cdef object _kept_state
    cdef Py_ssize_t _most_attributes, _most_events, _most_links, _length

    def __init__(self, sink, scope, limits, sampler, id_generator, Buffer buffer, bint observed):
        """`sampler` and `id_generator` are `None` for what is built in: parent-based always on, random ids."""
        self.sink = sink
        self.scope = scope
        self.limits = limits
        self._most_attributes = UNLIMITED if limits.max_span_attributes is None else limits.max_span_attributes
        self._most_events = UNLIMITED if limits.max_events is None else limits.max_events
        self._most_links = UNLIMITED if limits.max_links is None else limits.max_links
        self._length = -1 if limits.max_span_attribute_length is None else limits.max_span_attribute_length
        self.buffer = self._held_by = buffer
        self._sends = buffer is not None
        if self._sends:
            encoded = encode.scope(scope.name, scope.version or "", scope.attributes)
            self.scope_number = buffer.scope(encoded, scope.schema_url or "")
        self.observed = observed
        self._sampler = sampler
        self._id_generator = id_generator
        self._learn_sampler(sampler)

    cdef int _learn_sampler(self, object sampler) except -1:
        self._roots = KEEP
        self._follows = True
        self._kept_state = _empty_state
        root = sampler
        if type(sampler) is ParentBased:
            root = sampler.root
            self._follows = (
                sampler.remote_parent_sampled is None
                and sampler.remote_parent_not_sampled is None
                and sampler.local_parent_sampled is None
                and sampler.local_parent_not_sampled is None
            )
        elif sampler is not None:
            self._follows = False
        if type(root) is AlwaysOff:
            self._roots = DROP
        elif type(root) is TraceIdRatio:
            self._roots = BY_RATIO
            self._threshold = root.threshold
            self._kept_state = root.trace_state or _empty_state
        elif root is not None and type(root) is not AlwaysOn:
            self._roots = ASK
        return 0

    def start_span(
        self,
        name,
        context=None,
        kind=None,
        attributes=None,
        links=None,
        start_time=None,
        bint record_exception=True,
        bint set_status_on_exception=True,
    ):
        """Start a span, not made current; its parent is the span in `context`, by default the current one."""
        return self._start(
            name, context, kind, attributes, links, start_time, record_exception, set_status_on_exception
        )

    cdef object _start(
        self, object name, object context, object kind, object attributes, object links, object start_time,
        bint record_exception, bint set_status_on_exception,
    ):
        cdef SpanCore span
        cdef SpanCore near = None
        cdef DroppedSpan dropped
        cdef uint64_t trace_high = 0, trace_low = 0, span_id
        cdef int flags, parent_flags = 0
        cdef int64_t anchor_ns, now_ns
        cdef bint is_root = False
        if kind is None:
            kind = _internal
        try:
            found = _found_in(_current_context() if context is None else context)
        except Exception:  # what was passed as context is none
            found = not_a_context(context)
            context = None
        parent = None
        state = _empty_state
        if found is None:
            is_root = True
        elif type(found) is Span:
            near = <SpanCore>found
            trace_high, trace_low = near._trace_high, near._trace_low
            parent_flags = near._flags
            state = near._trace_state
        elif type(found) is DroppedSpan:
            dropped = <DroppedSpan>found
            trace_high, trace_low = dropped._trace_high, dropped._trace_low
            parent_flags = dropped._flags
            state = dropped._trace_state
        else:
            if type(found) is _non_recording_class:
                parent = found.get_span_context()
                # The last field is `is_valid`, as `_span_context` has it.
                if type(parent) is not _span_context_class or not _field(parent, 5):
                    parent = None
            else:
                parent = foreign_parent(found)
            if parent is None:
                is_root = True
            else:
                trace_id = _field(parent, 0)
                trace_high = PyLong_AsUnsignedLongLongMask(trace_id >> 64)
                trace_low = PyLong_AsUnsignedLongLongMask(trace_id)
                parent_flags = _field(parent, 3)
                state = _field(parent, 4)

        flags = parent_flags & RANDOM
        if self._id_generator is None:
            if is_root:
                trace_high, trace_low = _random64(), _random64()
                if not (trace_high or trace_low):
                    trace_low = 1
                flags = RANDOM
            span_id = _random64() or 1
        else:
            if is_root:
                foreign, flags = _pure.Tracer._foreign_trace_id(self)
                trace_high = PyLong_AsUnsignedLongLongMask(foreign >> 64)
                trace_low = PyLong_AsUnsignedLongLongMask(foreign)
            span_id = PyLong_AsUnsignedLongLongMask(_pure.Tracer._foreign_span_id(self))

        if is_root and self._roots != ASK:
            if self._roots == DROP or (self._roots == BY_RATIO and trace_low & RANDOM_MASK < self._threshold):
                return _not_recording(trace_high, trace_low, span_id, flags, state)
            flags |= SAMPLED
            state = self._kept_state
        elif not is_root and self._follows:
            if not parent_flags & SAMPLED:
                return _not_recording(trace_high, trace_low, span_id, flags, state)
            flags |= SAMPLED
        else:
            try:
                result = self._sampler.should_sample(
                    context, clew_int128(trace_high, trace_low), name, kind, attributes, links or ()
                )
                state = result.trace_state or _empty_state
                if result.decision.is_sampled():
                    flags |= SAMPLED
                if not result.decision.is_recording():
                    return _not_recording(trace_high, trace_low, span_id, flags, state)
                # The sampler decides about the attributes too: the SDK's built-in ones give back those they got.
                attributes = {**(attributes or {}), **(result.attributes or {})}
            except Exception as error:
                guard.swallow("the sampler", error)
                flags |= SAMPLED

        now_ns = clew_monotonic_ns()
        if near is not None:
            parent = near._context_object()
            anchor_ns = near._anchor_ns
        else:
            if type(found) is DroppedSpan:
                parent = (<DroppedSpan>found)._context_object()
            anchor_ns = clew_wall_ns() - now_ns
        span = <SpanCore>clew_new_below(SpanCore, Span, ())
        span._tracer = self
        span._name = name if type(name) is str else as_text(name)
        span._kind_number = 0 if kind is _internal else _number_of(kind)
        span._parent = parent
        span._trace_high = trace_high
        span._trace_low = trace_low
        span._span_id = span_id
        span._flags = flags
        span._trace_state = state
        span._anchor_ns = anchor_ns
        span._start_ns = <uint64_t>(anchor_ns + now_ns) if start_time is None else as_time_ns(start_time)
        span._record_exception = record_exception
        span._set_status_on_exception = set_status_on_exception
        span._attributes = {}
        span._status = _no_status
        if attributes is not None and attributes:
            span.set_attributes(attributes)
        if links is not None and links:
            try:
                for link in links:
                    if link:
                        span.add_link(link.context, link.attributes)
            except Exception as error:  # what was passed as links are none
                guard.swallow("adding links", error)
        if self.observed:
            self.sink.started(span, context)
        return span

    def start_as_current_span(
        self,
        name,
        context=None,
        kind=None,
        attributes=None,
        links=None,
        start_time=None,
        bint record_exception=True,
        bint set_status_on_exception=True,
        bint end_on_exit=True,
    ):
        """A context manager or decorator that starts a span and makes it current."""
        cdef CurrentSpan current = CurrentSpan.__new__(CurrentSpan)
        current._tracer = self
        current._name = name
        current._context = context
        current._kind = kind
        current._attributes = attributes
        current._links = links
        current._start_time = start_time
        current._record_exception = record_exception
        current._set_status_on_exception = set_status_on_exception
        current._ends = end_on_exit
        return current


cdef int _number_of(object kind) noexcept:
    cdef int n
    for n in range(5):
        if kind is _kinds[n]:
            return n
    return 0


cdef object _not_recording(uint64_t high, uint64_t low, uint64_t span_id, int flags, object state):
    cdef DroppedSpan span = DroppedSpan.__new__(DroppedSpan)
    span._trace_high = high
    span._trace_low = low
    span._span_id = span_id
    span._flags = flags
    span._trace_state = state
    return span


class Tracer(TracerCore, TracerSurface, ApiTracer):
    """Starts spans for one instrumentation scope."""

    __slots__ = ()


# Its own class, since NonRecordingSpan is told its context when it is made.
NonRecordingSpan.register(DroppedSpan)
