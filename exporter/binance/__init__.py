"""Speaks Binance; knows nothing of Prometheus."""
