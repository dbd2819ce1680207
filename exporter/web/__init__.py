"""Serves what is known over HTTP; the only I/O inward."""
