"""The texts of --help and --version."""

from __future__ import annotations

import re

import pytest

import exporter
from exporter.cli.arguments import Usage, parse
from exporter.cli.flags import COMMANDS, FLAGS, PROGRAM
from exporter.simulator.fault_catalog import FAULTS


@pytest.mark.parametrize("argv", [[], *([command] for command in COMMANDS)])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(argv: list[str], flag: str) -> None:
    """Help lists every flag, the names of variables and, without a command, all commands, in 80 columns."""
    with pytest.raises(Usage) as caught:
        parse([*argv, flag, "--version"], {})
    text = str(caught.value)
    command = argv[0] if argv else "run"

    assert caught.value.exit_code == 0
    assert [] == [flag.name for flag in FLAGS[command] if f"\n  {flag.name}" not in text]
    assert FLAGS[command][-1].variable in text
    assert max(map(len, text.splitlines())) <= 80
    assert all((f"\n  {name}  " in text) is (command == "run") for name in COMMANDS)


def test_help_lists_every_fault() -> None:
    """The help of `simulate`, and no other, lists every fault with its effect."""
    texts = {}
    for command in COMMANDS:
        with pytest.raises(Usage) as caught:
            parse([command, "--help"], {})
        texts[command] = str(caught.value)

    for name, fault in FAULTS.items():
        assert ["simulate"] == [
            command for command, text in texts.items() if re.search(rf"\n  {name} +{re.escape(fault.help)}\n", text)
        ]


@pytest.mark.parametrize(
    "argv", [["--version"], ["run", "--version"], ["demo", "--version"], ["simulate", "--version"]]
)
def test_version(argv: list[str]) -> None:
    """The version is printed, even if a variable is invalid."""
    with pytest.raises(Usage) as caught:
        parse([*argv, "--version"], {"BINANCE_FUTURES_EXPORTER_LOG_LEVEL": "loud"})

    assert caught.value.exit_code == 0
    assert f"{PROGRAM}, version {exporter.__version__} " in str(caught.value)
