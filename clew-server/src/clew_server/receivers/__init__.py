"""Decodes each protocol into OTLP, one file a protocol, without I/O; sockets are in `servers.py`.

Start reading at `contract.py`. A protocol's file imports the contract, model, errors, clew.otlp and clew.ids only.
"""
