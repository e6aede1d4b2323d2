"""Pinpoint's spans, over gRPC and as the collector JSON of its Python and PHP agents, into OTLP. No I/O.

- `messages.py`: the protobuf messages; `span_messages.py`: a `PSpanMessage`; `metadata.py`: what agents say of themselves
- `frames.py`, `collector_json.py`: the frames over TCP and the JSON in them
- `pieces.py`: what both have in common: a span and its events, written as spans of OTLP
- `types.py`: service types to names, kinds and systems; `annotations.py`: annotations to attributes

How pieces of one span that arrive apart become one when they are read: `model/pinpoint.py`. Where each field goes:
docs/receivers/pinpoint.md.
"""
