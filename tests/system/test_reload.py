"""Reload of the running program by SIGHUP."""

from __future__ import annotations

import signal
from pathlib import Path

import yaml
from support.program import started


def test_hangup_reloads_the_program(tmp_path: Path) -> None:
    """SIGHUP makes the program reread its file and its shard of it; an invalid file does not end it."""
    simulation = ("--listen-address", "127.0.0.1:0", "--config.dir", str(tmp_path / "simulated"))
    with started(tmp_path, "simulate", *simulation) as exchange:
        path = Path(exchange.wait_for(r"--config\.file (.+)\n"))
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["poll"] = {"interval": "1s"}
        two, document["accounts"] = document["accounts"][2:], document["accounts"][:2]
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        flags = ("--config.file", str(path), "--web.listen-address", "127.0.0.1:0", "--shard", "pod-0")
        with started(tmp_path, "run", *flags) as program:
            program.scrape(accounts=2)
            path.write_text("accounts: 7\n", encoding="utf-8")
            program.process.send_signal(signal.SIGHUP)
            program.wait_for("(reload failed)")
            document["accounts"] += two
            path.write_text(yaml.safe_dump(document), encoding="utf-8")
            program.process.send_signal(signal.SIGHUP)
            program.scrape(accounts=4)
            code = program.end(signal.SIGTERM)

    assert 0 == code
