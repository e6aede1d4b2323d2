"""clew: tracing middleware and recorder for applications."""
