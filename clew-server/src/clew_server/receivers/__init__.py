"""Receives spans: one listener for each transport, and a decoder into OTLP for each protocol, without I/O.

Start reading at `contract.py`; `table.py` names the receivers there are. `http.py`, `grpc.py`, `udp.py` and `tcp.py` receive for all
protocols and ask the intake, `listeners.py` opens them; these and `decoding.py` are the only files that do I/O or know the
collector. A protocol's file imports the contract, `canonical.py`, model, errors and clew.otlp.
"""
