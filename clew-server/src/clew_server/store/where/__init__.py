"""From the tree of a query (`model.query_tree`) to SQL. Values are bound, never pasted in."""
