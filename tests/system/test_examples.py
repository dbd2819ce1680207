"""The systemd examples: systemd accepts the unit, and its settings fit the program and the configuration."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from support.config_files import API_KEY, SECRET_KEY
from support.paths import ROOT
from support.tools import needs
from support.waiting import DEADLINE_SECONDS

from exporter.cli.arguments import parse
from exporter.cli.flags import FLAGS
from exporter.cli.main import run

if TYPE_CHECKING:
    import pytest

EXAMPLES = ROOT / "examples"
UNIT = EXAMPLES / "binance-futures-exporter.service"
PROGRAM = "/opt/binance-futures-exporter/bin/binance-futures-exporter"
CREDENTIALS = "/run/credentials/binance-futures-exporter.service/"


def values(key: str) -> list[str]:
    """Return all values of a key of the unit, commented-out ones included."""
    return re.findall(rf"^#?{key}=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE)


def test_systemd_accepts_the_service(tmp_path: Path) -> None:
    """Systemd accepts every setting of the unit and rates its exposure as low."""
    needs("systemd-analyze")
    unit = tmp_path / UNIT.name
    # systemd-analyze needs an executable at the program's path.
    unit.write_text(UNIT.read_text(encoding="utf-8").replace(PROGRAM, sys.executable), encoding="utf-8")
    for how in (["verify"], ["security", "--offline=true", "--threshold=15"]):
        argv = ["systemd-analyze", "--no-pager", *how, str(unit)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)

        assert (0, "") == (done.returncode, done.stderr), done.stdout


def test_service_calls_the_program_as_it_is() -> None:
    """The program accepts the flags and variables of the unit."""
    (call,) = values("ExecStart")
    program, *arguments = call.split()
    variables = dict(variable.split("=", 1) for variable in values("Environment"))
    command, flags = parse(arguments, variables)

    assert (PROGRAM, "run") == (program, command)
    assert Path("/etc/binance-futures-exporter/exporter.yml") == flags.config_file
    assert set(variables) <= {flag.variable for flag in FLAGS["run"]}


def test_configuration_names_the_credentials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The configuration finds its keys where systemd puts the unit's credentials, without a warning."""
    loaded = [value.partition(":")[0] for value in values("LoadCredential")]
    for name, key in zip(loaded, (API_KEY, SECRET_KEY), strict=True):
        (tmp_path / name).write_text(key)
        (tmp_path / name).chmod(0o400)
    text = (EXAMPLES / "exporter.yml").read_text(encoding="utf-8")
    (tmp_path / "exporter.yml").write_text(text.replace(CREDENTIALS, f"{tmp_path}/"))
    code = run([f"--config.file={tmp_path / 'exporter.yml'}", "--config.check"])
    captured = capsys.readouterr()

    assert set(loaded) == set(re.findall(rf"{re.escape(CREDENTIALS)}(\S+)", text))
    assert (0, "") == (code, captured.err)
    assert "the configuration is valid: 1 account" in captured.out
