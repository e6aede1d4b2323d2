"""Between receivers and store: accepts requests, keeps them in a durable log, moves them to the store, reads what is not stored yet.

Start reading at `intake.py`; the log is `wal.py`, its bytes `record.py`. Imports store.contract, model and errors only.
"""
