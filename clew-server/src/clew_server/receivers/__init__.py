"""Other people's bytes into OTLP: one file a protocol, decoding without I/O; sockets live in `servers.py`.

Start reading at `contract.py`. A protocol's file imports the contract, model, errors, clew.otlp and clew.ids only.
"""
