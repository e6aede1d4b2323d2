"""The recorder: an OpenTelemetry tracer provider that turns ended spans into OTLP bytes and sends them.

Start reading at `provider.py`, which puts the parts together; the hot path is `_pure.py`, in C `_fast.pyx`. Imports go
in one direction: `sampler`, `resource` and `sdk` know nothing of the hot path, the hot path nothing of `export`, and
nothing here but `provider.py` knows all. `clew/tests/recorder/test_recorder_rooms.py` has the table.
"""
