"""From the receivers' door to the store's: a durable log, the one way in, the one way on, and what is not stored yet.

Start reading at `intake.py`; the log is `wal.py`, its bytes `record.py`. Imports store.contract, model and errors only.
"""
