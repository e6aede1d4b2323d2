"""What a trace says: pure functions over `model.trace.Trace`, one file for each question. No I/O.

May import `model` only. Start at `verdict.py`, which asks all the others.
"""
