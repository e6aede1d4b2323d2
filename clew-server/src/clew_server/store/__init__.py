"""Stores spans. `contract.py` has the interfaces; each engine is in files of its own and is named only in `app.py`."""
