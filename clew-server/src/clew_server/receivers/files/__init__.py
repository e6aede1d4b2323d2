"""Files of spans: recognised by what they begin with, and read in pieces as OTLP requests. No I/O."""
