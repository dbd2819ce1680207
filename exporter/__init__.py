"""Prometheus exporter for Binance USDⓈ-M futures accounts."""

__version__ = "0.1.0"
__revision__ = "unknown"  # a build that knows its commit writes it here
