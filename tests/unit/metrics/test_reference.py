"""The reference of metrics: complete, and printed by `metrics`."""

from __future__ import annotations

import json

import pytest

from exporter.cli import main as cli
from exporter.metrics import reference
from exporter.metrics.exposition import CATALOGS


def test_every_metric_is_in_the_reference() -> None:
    """The reference has every family of the catalog once, with all its labels."""
    entries = json.loads(reference.as_json())
    names = [family.name for catalog in CATALOGS for family in catalog.families]

    assert names == [entry["name"] for entry in entries]
    labels = {entry["name"]: entry["labels"] for entry in entries}
    assert ["account", "currency"] == labels["binance_futures_account_wallet_balance"]
    assert ["account", "position_side", "symbol"] == labels["binance_futures_position_amount"]
    assert ["endpoint", "reason"] == labels["binance_futures_paused"]


@pytest.mark.parametrize("output", ["markdown", "json"])
def test_command_prints_the_reference(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`metrics` prints the reference for a reader or for a program."""
    code = cli.run(["metrics", f"--format={output}"])

    assert 0 == code
    assert (reference.as_json() if output == "json" else reference.as_markdown()) == capsys.readouterr().out.strip()
