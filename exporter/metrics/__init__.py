"""Prometheus metrics: the catalogs of all families, and their text and OpenMetrics formats; nothing of sockets."""
