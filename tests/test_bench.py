"""The benchmark's parts run; what they measure is for `make bench`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("module", ["bench.poll_ours", "bench.poll_python_binance"])
def test_peer_polls_the_same_exchange(module: str) -> None:
    """Each peer polls the benchmark's exchange, checks that it has every position, and prints seconds a poll."""
    exchange = subprocess.Popen(
        [sys.executable, "-m", "bench.exchange", "5", "12"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert exchange.stdin
    assert exchange.stdout
    with exchange:
        about = exchange.stdout.readline()
        peer = subprocess.run(
            [sys.executable, "-m", module, about, "1", "2"], capture_output=True, text=True, cwd=ROOT, check=False
        )
        exchange.stdin.close()

    assert (0, "") == (peer.returncode, peer.stderr)
    assert 0 < float(json.loads(peer.stdout))
