"""Random trace and span ids; a forked process has its own, and `random.seed` does not influence them."""

from __future__ import annotations

import os
import random
from typing import Final

_random: Final = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.seed)

# A bound method of the one generator: reseeding after a fork reaches every holder of it.
random_bits: Final = _random.getrandbits
