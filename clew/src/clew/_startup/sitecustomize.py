"""Imported at start by every Python process of a program under `clew run`: runs the environment's own module, then tracing."""

import os
import sys


def _customize() -> None:
    here = os.path.dirname(os.path.abspath(__file__))
    path = list(sys.path)
    sys.path[:] = [part for part in path if os.path.abspath(part or os.curdir) != here]
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found,unused-ignore]  # noqa: F401  # whoever has one keeps it
    except ImportError:
        if ours is not None:
            sys.modules["sitecustomize"] = ours
    if os.environ.get("CLEW_RUN") != "1":
        return
    try:
        from clew.startup import start
    except ImportError:
        # Another environment, without clew.
        return
    start()


_customize()
