"""The backend of clew: collector, store, query, API, UI and commands. Start reading at `app.py`."""

__version__ = "0.1.0"
