"""The query language: from its text to a tree (`model.query_tree`). No SQL, no I/O."""
