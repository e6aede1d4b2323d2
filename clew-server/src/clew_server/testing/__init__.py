"""For tests of clew's own receivers and of those that others add."""
