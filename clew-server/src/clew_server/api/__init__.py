"""The HTTP API: dialects over `query.service`, and the UI's files. A dialect translates and has no logic of its own.

Start reading at `native.py`.
"""
