"""The UI's built files: hashed names for ever, `index.html` for every page, compressed forms as they lie on disk."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from clew_server.api.http import error_response

_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>clew</title>
<h1>The UI is not built</h1>
<p>The API works: <a href="api/v1/status">api/v1/status</a>. To build the UI in a checkout, run <code>make web</code>;
installing <code>clew-server</code> from a wheel brings it built.</p></html>
"""


class StaticUi:
    """Serves `folder` (the output of Vite). Read once at start: the UI is a few hundred kB."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, tuple[bytes, bytes | None, str]] = {}
        if folder.is_dir():
            for path in sorted(folder.rglob("*")):
                if path.is_file() and path.suffix != ".gz":
                    compressed = path.with_name(path.name + ".gz")
                    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
                    self._files[path.relative_to(folder).as_posix()] = (
                        path.read_bytes(),
                        compressed.read_bytes() if compressed.exists() else None,
                        kind,
                    )

    def is_open(self, path: str) -> bool:
        """Whether `path` is one of the UI's own addresses, which need no token."""
        return not path.startswith("/api/") and path != "/metrics"

    async def serve(self, request: Request) -> Response:
        name = request.url.path.lstrip("/")
        if name in self._files and name != "index.html":
            return self._file(request, name)
        if name.startswith("api/") or ("." in name.rsplit("/", 1)[-1] and name != "index.html"):
            return error_response(404, "not_found", f"there is nothing at /{name}")
        if "index.html" not in self._files:
            return HTMLResponse(_NOT_BUILT)
        # Deep addresses load their parts relative to the base, also behind a prefix that a proxy takes off.
        base = request.headers.get("x-forwarded-prefix", "").rstrip("/") + "/"
        if not all(character.isalnum() or character in "/-_.~" for character in base):
            base = "/"
        page = self._files["index.html"][0].replace(b'<base href="/"', f'<base href="{base}"'.encode(), 1)
        return Response(page, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})

    def _file(self, request: Request, name: str) -> Response:
        plain, compressed, kind = self._files[name]
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if name.startswith("assets/") else "no-cache",
            "Vary": "Accept-Encoding",
        }
        if compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(compressed, media_type=kind, headers={**headers, "Content-Encoding": "gzip"})
        return Response(plain, media_type=kind, headers=headers)
