"""The whole program with a web configuration, scraped by a real Prometheus."""

from __future__ import annotations

import asyncio
import re
import signal
from typing import TYPE_CHECKING

import bcrypt
import pytest
from support.program import started
from support.prometheus_server import scraping, until_all_are_up
from support.tls import CLIENTS, REQUIRED, TLS, prepared
from support.tools import needs

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.prometheus

CONFIGURATION = """\
global: {{scrape_interval: 3s, scrape_timeout: 3s}}
scrape_configs:
  - job_name: binance-futures
    scheme: https
    basic_auth: {{username: prometheus, password: correct horse}}
    tls_config: {{ca_file: ca.crt, cert_file: client.crt, key_file: client.key}}
    static_configs: [{{targets: ['{target}']}}]
"""


async def test_prometheus_over_tls_with_a_password(tmp_path: Path) -> None:
    """Prometheus scrapes the demo over TLS, with a client certificate and a password, and logs no warning."""
    needs("prometheus")
    folder = prepared(tmp_path)
    client = CLIENTS.issue_cert("prometheus.example")
    client.private_key_pem.write_to_path(str(folder / "client.key"))
    client.cert_chain_pems[0].write_to_path(str(folder / "client.crt"))
    hashed = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(10)).decode()
    (folder / "web.yml").write_text(f"{TLS}, {REQUIRED}}}\nbasic_auth_users: {{prometheus: '{hashed}'}}\n")
    arguments = (
        "--web.config.file=web.yml",
        "--web.listen-address=127.0.0.1:0",
        "--interval=15s",
        "--log.format=logfmt",
    )
    with started(folder, "demo", *arguments) as program:
        target = await asyncio.to_thread(program.wait_for, r" url=https://(\S+)/metrics\n")
        async with scraping(folder, CONFIGURATION.format(target=target)) as (prometheus, complaints):
            await until_all_are_up(prometheus)
        code = await asyncio.to_thread(program.end, signal.SIGTERM)

    assert 0 == code
    assert "correct horse" not in program.output
    assert hashed not in program.output
    assert [] == re.findall(r"level=(?:warning|error).*", program.output)
    assert [] == complaints
