"""OpenCensus' agent protocol into OTLP. No I/O.

- `model.py`: the protobuf messages
- `values.py`: texts, times, ids and attributes, which all messages share
- `process.py`: a node and a resource as a resource of OTLP
- `spans.py`: a span written as one of OTLP
- `export.py`: an `ExportTraceServiceRequest`, alone or in a stream that remembers node and resource
- `specs.py`: the listener

Where each field goes: docs/receivers/opencensus.md.
"""
