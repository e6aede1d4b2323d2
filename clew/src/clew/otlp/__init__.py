"""OTLP trace messages as bytes, written and walked by hand: no protobuf library in an application.

May import nothing of clew. Start reading at `encode.py`; numbers are in `fields.py`.
"""
