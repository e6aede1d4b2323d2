"""Random trace and span ids, their own after a fork and whatever the application does to `random.seed`."""

from __future__ import annotations

import os
import random
from typing import Final

_random: Final = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)

# A bound method of the one generator: reseeding after a fork reaches whoever holds it.
random_bits: Final = _random.getrandbits


class RandomIdGenerator:
    """Uniformly random ids, never 0; the interface of the SDK's IdGenerator."""

    def generate_trace_id(self) -> int:
        """A new 128-bit trace id."""
        return random_bits(128) or 1

    def generate_span_id(self) -> int:
        """A new 64-bit span id."""
        return random_bits(64) or 1

    def is_trace_id_random(self) -> bool:
        """Whether trace flag 0x02 (W3C trace context level 2) holds for these trace ids."""
        return True
