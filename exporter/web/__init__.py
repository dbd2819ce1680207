"""Serves metrics and the status page over HTTP."""
