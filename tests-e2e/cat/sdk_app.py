"""Two services traced by CAT's client for Python, which is one in C below: `front` calls `back`, which fails.

    python sdk_app.py front ENCODER FRONT BACK
    python sdk_app.py back ENCODER BACK ROOT PARENT CHILD

`front` runs `back` as a process of its own and prints the id of its tree. Both stay until their input ends, since the client sends in
a thread of its own and has no way to wait for it. The client's header functions are there in C only.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from pathlib import Path

import cat

ENCODERS = {"binary": cat.ENCODER_BINARY, "text": cat.ENCODER_TEXT}
library = ctypes.CDLL(str(Path(cat.__file__).parent / "lib/linux-glibc/libcatclient.so"))
library.createMessageId.restype = ctypes.c_char_p
library.createRemoteServerMessageId.restype = ctypes.c_char_p


def front(encoder: str, service: str, callee: str) -> None:
    cat.init(service, encoder=ENCODERS[encoder], sampling=True)
    message_id = bytes(library.createMessageId())
    library.setThreadLocalMessageTreeId(message_id)
    with cat.Transaction("URL", "/buy") as buy:
        cat.log_event("URL.Method", "GET", "0", "x=1&y=2")
        cat.metric("orders").count()
        with cat.Transaction("SQL", "select") as sql:
            time.sleep(0.003)
            sql.add_data("select *\n\tfrom items where a = 1 and b = '\\n'")
        with cat.Transaction("Call", "stock") as call:
            child = bytes(library.createRemoteServerMessageId(callee.encode()))
            cat.log_event("Call.app", callee)
            cat.log_event("RemoteCall", "", "0", child.decode())
            ids = [message_id.decode(), message_id.decode(), child.decode()]
            command = [sys.executable, __file__, "back", encoder, callee, *ids]
            other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert other.stdout is not None
            assert "done\n" in iter(other.stdout.readline, "")
        buy.add_data("user", "7")
        call.set_status("0")
    cat.log_event("shop", "closed", "0", "a=1")
    print(message_id.decode(), flush=True)


def back(encoder: str, service: str, root: str, parent: str, child: str) -> None:
    cat.init(service, encoder=ENCODERS[encoder], sampling=True)
    library.setThreadLocalMessageTreeRootId(root.encode())
    library.setThreadLocalMessageTreeParentId(parent.encode())
    library.setThreadLocalMessageTreeId(child.encode())
    with cat.Transaction("Service", "stock") as transaction:
        try:
            raise ValueError("no stock")
        except ValueError as error:
            cat.log_exception(error)
            transaction.set_status("ValueError")
    print("done", flush=True)


if __name__ == "__main__":
    {"front": front, "back": back}[sys.argv[1]](*sys.argv[2:])
    sys.stdin.read()
