"""The arguments of `history`: what is missing or wrong is reported before anything is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.config_files import key_files

from exporter.cli.flags import PROGRAM
from exporter.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path


def test_missing_flags(capsys: pytest.CaptureFixture[str]) -> None:
    """All that is missing or given twice is an error of the arguments."""
    code = run(["history", "--label", "a=b", "--label", "a=c"])
    errors = capsys.readouterr().err.splitlines()

    assert 2 == code
    assert [
        f"{PROGRAM}: invalid configuration:",
        "--account: is missing",
        "--since: is missing",
        "--out: is missing",
        "--label: has the same name twice",
    ] == errors


@pytest.mark.parametrize(
    ("directory", "reason"), [("{tmp_path}/file/out", "Not a directory"), ("/proc", "No such file or directory")]
)
def test_directory_that_cannot_be_written(
    directory: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A directory that cannot be created or written is reported before anything is read."""
    (tmp_path / "file").touch()
    out = directory.format(tmp_path=tmp_path)
    path = key_files(tmp_path)
    path.write_text("accounts: [{name: main, api_key_file: main.key, secret_key_file: main.secret}]\n")
    flags = ["--config.file", str(path), "--account", "main", "--since", "1d", "--out", out]
    code = run(["history", *flags])

    assert 1 == code
    assert f"{PROGRAM}: cannot write to {out}: {reason}\n" == capsys.readouterr().err


def test_unknown_account(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An account that is not configured is an error of the arguments."""
    path = key_files(tmp_path)
    path.write_text("accounts: [{name: main, api_key_file: main.key, secret_key_file: main.secret}]\n")
    flags = ["--config.file", str(path), "--account", "other", "--since", "1d", "--out", str(tmp_path)]
    code = run(["history", *flags])

    assert 2 == code
    words = "--account: is not configured; the accounts are: main"
    assert f"{PROGRAM}: invalid configuration:\n{words}\n" == capsys.readouterr().err
