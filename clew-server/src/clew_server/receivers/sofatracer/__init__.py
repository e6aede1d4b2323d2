"""EagleEye's open descendant SOFATracer: its digest logs, a line for each finished span, into OTLP. No I/O."""
