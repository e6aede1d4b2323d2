"""A figure beside what it may be at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """One line of the verdict; nothing fails because of it, a shared machine is no judge."""

    what: str
    value: float
    most: float
    unit: str

    @property
    def verdict(self) -> str:
        """`met`, `MISSED`, or `noise` where the difference of two runs came out below nothing."""
        if self.value <= 0:
            return "noise"
        return "met" if self.value <= self.most else "MISSED"

    def __str__(self) -> str:
        digits = 0 if self.most >= 1000 else 2 if self.most >= 1 else 4
        return f"{self.verdict:<7}{self.what}: {self.value:,.{digits}f} {self.unit} (at most {self.most:,.{digits}f})"
