"""`clew serve`: run collector, store, API and UI in one process."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
import time
from typing import Final

from clew.cli import Command
from clew_server.config import Config, ConfigurationProblems, add_options, load, text_from_bytes, text_from_seconds

_SWITCH_AFTER_S: Final = 0.0005
"""How long a thread that computes keeps the interpreter while another wants it. Python's own 5 ms are waited for several times for one answer while
others decode what comes in."""

USAGE, PORT_TAKEN, FOLDER_IN_USE, FOLDER_UNUSABLE, STORE_CANNOT_RUN = 2, 3, 4, 5, 6


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _set_up_logging(log_format: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _JsonFormatter() if log_format == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in ("uvicorn", "uvicorn.error", "asyncio", "httpx"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _fail(code: int, sentence: str) -> int:
    print(f"clew serve: {sentence}", file=sys.stderr)
    return code


def _run(arguments: argparse.Namespace) -> int:
    try:
        config = load(vars(arguments), os.environ)
    except ConfigurationProblems as error:
        for problem in error.problems:
            print(f"clew serve: {problem}", file=sys.stderr)
        return USAGE
    _set_up_logging(config.log_format)
    return _serve(config)


def _serve(config: Config) -> int:
    # Imported here, so that `clew --help` and a usage error do not load the engine and gRPC.
    from clew_server.store.connections import check_address_space
    from clew_server.store.contract import StoreCannotRun, StoreUnusable

    try:
        check_address_space()  # before anything starts a thread, which would fail first
    except StoreCannotRun as error:
        return _fail(STORE_CANNOT_RUN, str(error))

    from clew_server import app
    from clew_server.datafolder import FolderInUse, FolderUnusable
    from clew_server.sockets.listening import CannotListen, PortTaken

    print(
        f"data in {config.data_dir}, kept for {text_from_seconds(config.retention_s)}, at most {text_from_bytes(config.max_disk_bytes)}",
        flush=True,
    )
    sys.setswitchinterval(_SWITCH_AFTER_S)
    try:
        asyncio.run(app.serve(config))
    except PortTaken as error:
        return _fail(PORT_TAKEN, str(error))
    except FolderInUse as error:
        return _fail(FOLDER_IN_USE, str(error))
    except (FolderUnusable, StoreUnusable) as error:
        return _fail(FOLDER_UNUSABLE, str(error))
    except StoreCannotRun as error:
        return _fail(STORE_CANNOT_RUN, str(error))
    except (CannotListen, app.CannotSayReady, ConfigurationProblems) as error:
        return _fail(USAGE, str(error))
    except OSError as error:
        at = f"{error.filename}: " if error.filename else ""
        return _fail(
            FOLDER_UNUSABLE,
            f"{at}{error.strerror or error}, while starting on {config.data_dir}; mend that or choose another folder with --data-dir",
        )
    return 0


command = Command(
    name="serve",
    help="receive, store and show traces: the whole backend in one process",
    add_arguments=add_options,
    run=_run,
)
