"""`clew` whose server knows only the first steps of the store's schema: `python older.py NUMBER clew serve …`."""

from __future__ import annotations

import sys

from clew import cli
from clew_server.store import migrate

KNOWN = migrate.steps()

if __name__ == "__main__":
    count = int(sys.argv[1])
    migrate.steps = lambda: KNOWN[:count]  # type: ignore[assignment]
    del sys.argv[:2]
    sys.exit(cli.main())
