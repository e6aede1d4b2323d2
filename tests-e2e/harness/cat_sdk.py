"""CAT's client for Python, whose library in C reads its settings and writes its log at fixed places of the machine."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from harness import clients
from harness.backends import Absent

SETTINGS = '<config><servers><server ip="127.0.0.1" port="2280" http-port="{port}"/></servers></config>'


def prepared(folder: Path, router: str) -> tuple[str, dict[str, str]]:
    """The interpreter, and the environment for a program that runs in `folder`: a copy of the library has its places below that.

    `router`: the address that tells the client where to send. Raises Absent.
    """
    if sys.platform != "linux":
        raise Absent("the client's library is changed for Linux only")
    python = clients.python("cat", "cat-sdk==3.1.2")
    (package,) = (Path(python).parents[1] / "lib").glob("python*/site-packages/cat")
    shutil.copytree(package, folder / "cat")
    library = folder / "cat" / "lib/linux-glibc/libcatclient.so"
    content = library.read_bytes()
    for place in (b"/data/appdatas/cat/client.xml\0", b"/data/appdatas/cat/\0", b"/data/applogs/cat/cat"):
        assert content.count(place) == 1
        here = place[1:].rstrip(b"\0")
        content = content.replace(place, here + b"\0" * (len(place) - len(here)))
    library.write_bytes(content)
    for kind in ("appdatas", "applogs"):
        (folder / "data" / kind / "cat").mkdir(parents=True)
    port = router.rpartition(":")[2]
    (folder / "data/appdatas/cat/client.xml").write_text(SETTINGS.format(port=port), encoding="utf-8")
    return python, {"PYTHONPATH": str(folder)}
