"""The end of a call, as it is passed to every convention."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clew.transport import Outcome


@dataclass(slots=True)
class Ending:
    """The end of a call that was not given up."""

    outcome: Outcome
    """What the call itself says; empty where it says nothing."""
    reply: object
    """The application's own."""
    error: BaseException | None
    error_type: str | None
    """None for success."""
    message: str | None
    """The status message, redacted."""
    is_server: bool
    """Whether the call was answered here."""
