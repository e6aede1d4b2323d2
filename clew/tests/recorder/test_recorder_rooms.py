"""Inside the recorder imports go in one direction."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import clew.recorder

ROOT = Path(clew.recorder.__file__).parent

# A folder or file of the recorder, and which others of it it may import. Whatever a line names stands above that line.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "ending": set(),
    "ids": set(),
    "misuse": set(),
    "oversize": set(),
    "limits": {"misuse"},
    "sdk": {"misuse"},
    "sampler": {"sdk"},
    "resource": {"limits", "sdk"},
    "buffer": {"oversize"},
    "_pure": {"buffer", "ids", "limits", "sampler", "sdk"},
    "_fast": {"_pure", "limits", "oversize", "sampler", "sdk"},
    "_select": {"_fast", "_pure", "buffer"},
    "export": {"_select", "buffer", "resource"},
    "file_exporter": {"export"},
    "provider": {"_pure", "_select", "ending", "export", "limits", "misuse", "resource", "sampler", "sdk"},
}
OF_THE_RECORDER = re.compile(r"^\s*(?:from clew\.recorder(?:\.(\w+)[\w.]* import | import ([\w, ]+)))", re.MULTILINE)


def rooms_imported(path: Path) -> set[str]:
    found = set()
    for room, names in OF_THE_RECORDER.findall(path.read_text(encoding="utf-8")):
        found |= {room} if room else {name.strip().split(" ")[0] for name in names.split(",")}
    return found


def test_each_part_of_the_recorder_imports_only_what_its_line_allows() -> None:
    wrong = []
    for path in sorted([*ROOT.rglob("*.py"), *ROOT.rglob("*.pyx")]):
        room = path.relative_to(ROOT).parts[0].split(".")[0]
        assert room in MAY_IMPORT, f"{room} has no line in the table"
        not_allowed = rooms_imported(path) - MAY_IMPORT[room] - {room}
        wrong += [f"{path.relative_to(ROOT)} imports {name}" for name in sorted(not_allowed)]
    assert wrong == []


def test_the_table_has_no_circle() -> None:
    above: set[str] = set()
    for room, imported in MAY_IMPORT.items():
        assert imported <= above, f"{room} imports {sorted(imported - above)}, which stand below it"
        above.add(room)


def test_no_import_escapes_the_look_at_the_text() -> None:
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(alias.name.startswith("clew.recorder") for alias in node.names), path
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("clew.recorder"):
                names = {alias.name for alias in node.names} if node.module == "clew.recorder" else set()
                assert (names or {str(node.module).split(".")[2]}) <= rooms_imported(path), path


def test_an_import_path_that_pages_have_named_stays() -> None:
    from clew.recorder import export, file_exporter

    assert file_exporter.FileExporter is export.FileExporter
