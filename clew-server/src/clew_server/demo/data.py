"""The database of `message`: the users, and the two faults that the demo shows."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

USERS = [
    # name, plan, shard
    ("alice", "free", "eu"),
    ("bob", "free", "us"),
    ("carol", "team", "eu"),
    ("dave", "team", "us"),
    ("erin", "enterprise", "eu"),  # slow: each of her messages asks for its author's signature, not only the newest
    ("frank", "free", "ap"),  # fails: the table of this user's shard does not exist
]
MESSAGES_A_USER = {"free": 5, "team": 20, "enterprise": 205}
AUTHORS = 25_000  # without an index on `author`, finding one of them reads them all


def create_database(path: Path) -> None:
    """Creates the file at `path` unless it exists. It is renamed into place, so that no reader sees half of it."""
    if path.exists():
        return
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    connection = sqlite3.connect(draft)
    connection.executescript(
        """
        CREATE TABLE users (name TEXT PRIMARY KEY, plan TEXT, shard TEXT);
        CREATE TABLE messages_eu (id INTEGER PRIMARY KEY, reader TEXT, author TEXT, text TEXT);
        CREATE TABLE messages_us (id INTEGER PRIMARY KEY, reader TEXT, author TEXT, text TEXT);
        CREATE TABLE signatures (author TEXT, text TEXT);
        """
    )
    connection.executemany("INSERT INTO users VALUES (?, ?, ?)", USERS)
    connection.executemany(
        "INSERT INTO signatures VALUES (?, ?)", [(f"author{n}", f"Yours, author {n}") for n in range(AUTHORS)]
    )
    for name, plan, shard in USERS:
        if shard == "ap":
            continue
        connection.executemany(
            f"INSERT INTO messages_{shard} (reader, author, text) VALUES (?, ?, ?)",
            [(name, f"author{n * 37 % AUTHORS}", f"Message {n} to {name}") for n in range(MESSAGES_A_USER[plan])],
        )
    connection.commit()
    connection.close()
    os.replace(draft, path)
