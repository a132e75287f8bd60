"""Formats: bytes from outside become typed values here, and values become bytes, both ways and pure."""
