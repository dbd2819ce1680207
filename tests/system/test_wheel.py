"""The wheel: built, installed into an empty environment and run there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.builders import DEADLINE_SECONDS
from support.paths import ROOT
from support.program import started


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment with the wheel and its locked dependencies only."""
    folder = tmp_path_factory.mktemp("wheel")
    uv = str(Path(sys.executable).with_name("uv"))
    environment = str(folder / "environment")
    install = [uv, "pip", "install", "-q", "--python", environment, "--no-deps"]
    for command in (
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        [uv, "venv", "-q", "--python", sys.executable, environment],
        [*install, "--require-hashes", "-r", "requirements.txt"],
    ):
        subprocess.run(command, check=True, cwd=ROOT)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([*install, str(wheel)], check=True)
    return Path(environment) / "bin" / "binance-futures-exporter"


def test_wheel_runs_the_demo(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The installed program runs the demo: metrics of four accounts, the status page, and exit code 0."""
    for name in [name for name in os.environ if name.startswith(("PYTHON", "COVERAGE_"))]:
        monkeypatch.delenv(name)
    with started(tmp_path, "demo", "--web.listen-address", "127.0.0.1:0", program=program) as demo:
        demo.scrape(accounts=4)
        url = demo.wait_for(r" url=(http\S+)/metrics\n")
        page = httpx.get(url, trust_env=False, timeout=DEADLINE_SECONDS)
        code = demo.end(signal.SIGTERM)

    assert (200, 0) == (page.status_code, code)
    assert "<table" in page.text


def test_wheel_holds_the_program_alone(program: Path) -> None:
    """The wheel installs no tests, dashboards or tools in addition to the package."""
    (packages,) = program.parents[1].glob("lib/python*/site-packages")

    assert not [name for name in ("tests", "grafana", "prometheus", "bench", "tools") if (packages / name).exists()]
    assert shutil.which(program)
