"""What Datadog's tracers send to their agent, into OTLP. No I/O.

- `payload.py`: chunks of spans out of msgpack (v0.3, v0.4, v0.5) and JSON, within limits
- `process.py`: the resource of a span
- `spans.py`: a span written as one of OTLP
- `decoder.py`: a request, by its path
- `specs.py`, `info.py`: the listener and its answers; what `/info` says

Where each field goes: docs/receivers/datadog.md.
"""
