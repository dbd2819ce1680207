"""Accounts in the chart's values."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from exporter.config import ConfigError, load

if TYPE_CHECKING:
    from pathlib import Path


KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"


PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIHJ\n-----END PRIVATE KEY-----\n"


FILES = {"api_key_file": "api-key", "secret_key_file": "secret-key"}


def account(name: str = "main", **more: Any) -> dict[str, Any]:
    """Return an account of the values."""
    return {"name": name, "secretName": "binance", **FILES, **more}


def of(more: dict[str, Any]) -> dict[str, Any]:
    """Return values with one account that says more, or with those and the configuration that are given."""
    return more if more.keys() & {"accounts", "config"} else {"accounts": [account(**more)]}


def faults_of(values: dict[str, Any], folder: Path) -> list[str]:
    """Return where the exporter finds faults in accounts and configuration of values."""
    for name in FILES.values():
        (folder / name).write_text(f"made-up-{name}", encoding="utf-8")
    entries = values.get("accounts", [account()])
    accounts = [{key: each for key, each in entry.items() if key != "secretName"} for entry in entries]
    path = folder / "exporter.yml"
    path.write_text(json.dumps({**values.get("config", {}), "accounts": accounts}), encoding="utf-8")
    try:
        load(path, {})
    except ConfigError as error:
        return [fault.where.removeprefix(f"{path}: ") for fault in error.problems]
    return []
