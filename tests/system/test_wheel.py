"""The wheel: built, installed into an empty environment and run there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

from support.http_clients import get
from support.paths import ROOT
from support.program import started

if TYPE_CHECKING:
    import pytest


def test_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel contains the package alone; with its locked dependencies it runs the demo and ends with exit code 0."""
    uv = str(Path(sys.executable).with_name("uv"))
    environment = tmp_path / "environment"
    install = [uv, "pip", "install", "-q", "--python", str(environment), "--no-deps"]
    for command in (
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        [uv, "venv", "-q", "--python", sys.executable, str(environment)],
        [*install, "--require-hashes", "-r", "requirements.txt"],
    ):
        subprocess.run(command, check=True, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    subprocess.run([*install, str(wheel)], check=True)
    for name in [name for name in os.environ if name.startswith(("PYTHON", "COVERAGE_"))]:
        monkeypatch.delenv(name)
    program = environment / "bin" / "binance-futures-exporter"
    with started(tmp_path, "demo", "--web.listen-address", "127.0.0.1:0", program=program) as demo:
        demo.scrape(accounts=4)
        url = demo.wait_for(r" url=(http\S+)/metrics\n")
        page = get(url)
        code = demo.end(signal.SIGTERM)

    name, version, *_ = wheel.name.split("-")
    assert {"exporter", f"{name}-{version}.dist-info"} == {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert (200, 0) == (page.status_code, code)
    assert "<table" in page.text
