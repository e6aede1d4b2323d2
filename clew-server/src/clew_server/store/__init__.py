"""Spans at rest. `contract.py` says what a store owes; an engine lives in a file of its own and is named only in `app.py`."""
