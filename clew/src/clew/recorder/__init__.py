"""The recorder: an OpenTelemetry tracer provider that turns ended spans into OTLP bytes and sends them.

May import `clew.otlp` and nothing else of clew. Start reading at `provider.py`; the hot path is `_pure.py`.
"""
