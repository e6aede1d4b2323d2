"""What the stories share: a real `clew serve` in its own process, OTLP bytes made by hand, a C shim, a real browser."""
