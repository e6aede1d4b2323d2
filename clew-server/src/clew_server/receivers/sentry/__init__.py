"""What Sentry's SDKs send, into OTLP. No I/O.

- `envelope.py`: the items of an envelope out of bytes
- `values.py`: values, times and ids of its JSON
- `process.py`: the resource of an event
- `spans.py`: a transaction and its spans; `streamed.py`: spans and logs that are sent as they end
- `errors.py`: an error as a fragment of its span
- `decoder.py`: a request, by its path
- `specs.py`: the listener and its answers

Where each field goes: docs/receivers/sentry.md.
"""
