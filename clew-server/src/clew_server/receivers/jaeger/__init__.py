"""Jaeger's spans, in Thrift and in protobuf, into OTLP. No I/O.

- `tags.py`: Thrift lists of tags, which are most of what there is to read
- `batch.py`: a Thrift `Batch`
- `model.py`, `post_spans.py`: the protobuf messages, and a `PostSpansRequest`
- `spans.py`: what both have in common: a span of Jaeger's written as one of OTLP
- `sampling.py`: strategies of remote sampling, from Jaeger's own file format

Where each field goes: docs/receivers/jaeger.md.
"""
