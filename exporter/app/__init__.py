"""Puts everything together: the polling fleet, the service that serves it, `check` and `history`."""
