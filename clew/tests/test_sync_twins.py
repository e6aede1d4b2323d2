"""The sync twins of async code are what `scripts/sync_twins.py` makes of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "sync_twins.py"


def load() -> Any:
    specification = importlib.util.spec_from_file_location("sync_twins", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


twins = load()

ASYNC = '''
class Client:
    async def aread(self, load: Callable[..., Awaitable[dict[str, Any]]]) -> Awaitable[int]:
        """Await one."""
        async with self.lock, asynccontextmanager(load)() as page:
            async for row in aparse(page):
                yield getattr(row, "aclose", "await me")
        try:
            return await anext(self.rows)
        except StopAsyncIteration:
            await self.aclose()

    # The sync twin of `aread`, written by scripts/sync_twins.py.
    def read(self) -> None:
        """Read one."""
'''
SYNC = '''
    def read(self, load: Callable[..., dict[str, Any]]) -> int:
        """Read one."""
        with self.lock, contextmanager(load)() as page:
            for row in parse(page):
                yield getattr(row, "close", "await me")
        try:
            return next(self.rows)
        except StopIteration:
            self.close()
'''


def test_a_twin_has_the_async_code_without_its_waiting_and_its_own_docstring() -> None:
    made = twins.written(ASYNC, "clew/src/clew/example.py", {"aparse": "parse"})
    assert made.partition("sync_twins.py.")[2] == SYNC
    assert twins.written(made, "clew/src/clew/example.py", {"aparse": "parse"}) == made


def test_a_file_that_has_drifted_is_named_and_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(twins, "SOURCES", tmp_path)
    monkeypatch.setattr(twins, "ROOT", tmp_path)
    (tmp_path / "example.py").write_text(ASYNC)
    assert twins.main(["--check"]) == 1
    assert "example.py, as it would be" in capsys.readouterr().out
    assert (tmp_path / "example.py").read_text() == ASYNC
    assert twins.main([]) == 0
    assert twins.main(["--check"]) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# The sync twin of `aread`, written by scripts/sync_twins.py.\nx = 1\n", ":1: no definition"),
        ("# The sync twin of `aread`, written by scripts/sync_twins.py.\ndef read(): ...\n", ":1: there is no `aread`"),
    ],
)
def test_a_comment_that_fits_nothing_is_refused(text: str, said: str) -> None:
    with pytest.raises(twins.TwinError, match=said):
        twins.pairs_of(text, "example.py")
