"""What a receiver proves itself with: subclass `ReceiverKit` in its tests; pytest collects the inherited tests.

`stand.py` runs one receiver, a real listener over a real log, in a thread; `receivers.py` has the kit; encoders of protocols
have files of their own (`jaeger.py`).
"""

from __future__ import annotations

from clew_server.testing.receivers import ReceiverKit, SentSpan
from clew_server.testing.stand import ReceiverStand, StoredAs

__all__ = ["ReceiverKit", "ReceiverStand", "SentSpan", "StoredAs"]
