"""Zipkin's spans into OTLP: v2 as JSON and protobuf, v1 as JSON and Thrift. No I/O. Where each field goes: docs/receivers/zipkin.md."""
