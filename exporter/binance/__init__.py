"""The exchange's WebSocket API: connections, request weight, clocks, messages and errors; nothing of Prometheus."""
