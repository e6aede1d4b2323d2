"""Older tracing APIs on top of the OpenTelemetry API: code written against them records through any tracer provider.

One file for each API; none imports its package before it is used.
"""
