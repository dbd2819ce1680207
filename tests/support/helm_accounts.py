"""Accounts in the chart's values, and made-up secrets."""

from __future__ import annotations

from typing import Any

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHJ\n-----END PRIVATE KEY-----\n"


FILES = {"api_key_file": "api-key", "secret_key_file": "secret-key"}


def account(name: str = "main", **more: Any) -> dict[str, Any]:
    """Return an account of the values."""
    return {"name": name, "secretName": "binance", **FILES, **more}
