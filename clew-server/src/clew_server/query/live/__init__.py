"""Live tail: traces are asked for while they arrive. Matching, what is kept of recent traces, what waits for each listener."""
