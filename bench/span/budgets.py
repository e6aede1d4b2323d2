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
    def met(self) -> bool:
        """Whether the figure is within its budget."""
        return self.value <= self.most

    def __str__(self) -> str:
        digits = 0 if self.most >= 1000 else 2
        verdict = "met" if self.met else "MISSED"
        return f"{verdict:<7}{self.what}: {self.value:,.{digits}f} {self.unit} (at most {self.most:,.{digits}f})"
