"""Configuration files of tests/data/config: place one where the program can load it, and check the errors it gives."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from exporter.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def place(file: Path, path: Path) -> Path:
    """Copy a file to `path`, with @name@ replaced by the content of that file in the folder of `path`, as YAML."""
    text = re.sub(r"@(\S+)@", lambda name: json.dumps((path.parent / name[1]).read_text()), file.read_text("utf-8"))
    path.write_text(text, encoding="utf-8")
    return path


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run --config.check, and return its exit code and what it wrote to standard error."""
    code = run([*arguments, "--config.check"])
    return code, capsys.readouterr().err


def check_bad(capsys: pytest.CaptureFixture[str], file: Path, path: Path, *arguments: str) -> str:
    """Assert that the file placed at `path` gives the errors in the comments of `file`, and return the whole output.

    Each comment is one error in full, in order and without the path of the configuration file.
    """
    expected = [line[2:] for line in file.read_text("utf-8").splitlines() if line.startswith("# ")]
    code, output = check(capsys, *arguments)
    first, *errors = output.splitlines()

    assert 2 == code
    assert "binance-futures-exporter: invalid configuration:" == first
    assert all(error.startswith(f"{path}: ") for error in errors)
    assert expected == [error.replace(f"{path}: ", "") for error in errors]
    return output
