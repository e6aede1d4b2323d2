"""`clew` whose server looks at retention each second instead of each minute: `python retention_often.py clew serve …`."""

from __future__ import annotations

import sys

from clew import cli
from clew_server import app

app._RETENTION_EVERY_S = 1.0

if __name__ == "__main__":
    del sys.argv[0]
    sys.exit(cli.main())
