"""What makes the recorder look like OpenTelemetry's SDK: what spans can be asked, processors, exporters, span metrics.

`readable.py` needs `opentelemetry-api` only; `bridge.py` is imported when the SDK is used.
"""
