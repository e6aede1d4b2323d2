"""What the analysis compares a trace with: values that a store measured, given to it. See `model.usual`."""

from clew_server.model.usual import ENOUGH, NOTHING, Durations, Operation, Usual, Within

__all__ = ["ENOUGH", "NOTHING", "Durations", "Operation", "Usual", "Within"]
