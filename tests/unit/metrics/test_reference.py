"""What README says of metrics and flags is what the program says; UPDATE_README=1 writes it anew."""

from __future__ import annotations

import json
import os
import re

import pytest
from support.paths import ROOT

from exporter.cli import main as cli
from exporter.cli.flags import FLAGS, Flag
from exporter.metrics import reference
from exporter.metrics.catalog import GROUPS
from exporter.metrics.self_catalog import OF_ACCOUNT, OF_ENDPOINT, OF_PROGRAM

README = ROOT / "README.md"


def flags_as_markdown() -> str:
    """Return a table of all flags, each once, with the commands that have it and its default in each."""
    rows: dict[str, dict[str, Flag]] = {}
    for command, flags in FLAGS.items():
        for flag in flags:
            rows.setdefault(flag.name, {})[command] = flag
    lines = ["| flag | what | default | commands |", "|---|---|---|---|"]
    for name, by_command in rows.items():
        first = next(iter(by_command.values()))
        choices = f" ({', '.join(first.choices)})" if first.choices else ""
        default = first.shown_default
        others = [
            f"{command}: {flag.shown_default}" for command, flag in by_command.items() if flag.shown_default != default
        ]
        defaults = f"{default} ({', '.join(others)})" if others else default
        lines.append(f"| `{name}` | {first.help}{choices} | {defaults} | {', '.join(by_command)} |")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("section", "generated"), [("metrics", reference.as_markdown()), ("flags", flags_as_markdown())]
)
def test_readme_is_up_to_date(section: str, generated: str) -> None:
    """The tables between the markers in README are those that the program makes."""
    text = README.read_text(encoding="utf-8")
    between = re.compile(rf"(<!-- {section}: begin.*?-->\n)(.*?)(\n<!-- {section}: end -->)", re.DOTALL)
    found = between.search(text)
    assert found
    if os.environ.get("UPDATE_README"):
        README.write_text(between.sub(lambda match: match[1] + generated + match[3], text), encoding="utf-8")
    else:
        assert generated == found[2]


def test_every_metric_is_in_the_reference() -> None:
    """The reference tells every family of the catalog once, with all its labels."""
    entries = json.loads(reference.as_json())
    names = [family.name for group in GROUPS for family in group.families]
    names += [family.name for family in (*OF_ACCOUNT, *OF_ENDPOINT, *OF_PROGRAM)]

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
