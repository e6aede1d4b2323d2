SELECT count(), toUInt32(min(received)) FROM chunks
