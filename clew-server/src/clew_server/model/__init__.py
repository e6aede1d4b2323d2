"""Values that travel between rooms: a search, a trace read from OTLP bytes, times. No I/O."""
