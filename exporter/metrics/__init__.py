"""Speaks Prometheus; knows nothing of sockets."""
