"""The sample configurations of Prometheus and Alertmanager, and the runbooks."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest
import yaml
from support.http_clients import blocking_http_client
from support.prometheus_server import LISTENING, alertmanager
from support.tools import needs
from support.waiting import wait_for

from monitoring.rules.build import ALERTS, PROMETHEUS
from monitoring.rules.rule import JOB

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.prometheus

SAMPLE: Final = PROMETHEUS / "alertmanager.yml"
SECTIONS: Final = ["Meaning", "Impact", "Diagnosis", "Mitigation"]


def run(tool: str, *arguments: str) -> tuple[int, str]:
    """Run a tool; return its exit code and its output."""
    needs(tool)
    command = [shutil.which(tool) or "", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def test_prometheus_takes_its_sample() -> None:
    """`promtool check config` takes the sample, and finds the rule files that it names."""
    code, output = run("promtool", "check", "config", str(PROMETHEUS / "prometheus.yml"))

    assert 0 == code, output
    assert "3 rule files found" in output


def test_sample_scrapes_the_job_of_the_rules() -> None:
    """The sample's scrape job has the name that the alert on a missing exporter expects."""
    sample = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))

    assert [JOB] == [job["job_name"] for job in sample["scrape_configs"]]


def test_alertmanager_takes_its_sample() -> None:
    """`amtool check-config` takes the sample."""
    code, output = run("amtool", "check-config", str(SAMPLE))

    assert 0 == code, output
    assert "SUCCESS" in output


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("account=main severity=critical", "pager"),
        ("account=main severity=warning", "chat"),
        ("account=desk-a severity=critical", "desk-pager"),
        ("account=desk-a severity=warning", "desk-chat"),
        ("endpoint=mainnet severity=critical", "pager"),
    ],
)
def test_route(labels: str, receiver: str) -> None:
    """An alert goes to one receiver, by its severity and account."""
    arguments = [
        "config",
        "routes",
        "test",
        f"--config.file={SAMPLE}",
        f"--verify.receivers={receiver}",
        *labels.split(),
    ]
    code, output = run("amtool", *arguments)

    assert 0 == code, output


def alert(severity: str, name: str = "BinanceFuturesMarginRatioHigh", **labels: str) -> dict[str, str]:
    """Return the labels of an alert."""
    return {"alertname": name, "severity": severity, "job": JOB, **labels}


def test_inhibition(tmp_path: Path) -> None:
    """A critical alert inhibits only the warning with its name and the same labels."""
    inhibited = [
        alert("warning", account="main", margin_asset="USDT"),
        alert("warning", account="main", symbol="BTCUSDT", position_side="LONG"),
        alert("warning", "BinanceFuturesPaused", instance="a:1", endpoint="mainnet", reason="rate_limited"),
    ]
    notified = [
        alert("critical", account="main", margin_asset="USDT"),
        alert("critical", account="main", symbol="BTCUSDT", position_side="LONG"),
        alert("critical", "BinanceFuturesPaused", instance="a:1", endpoint="mainnet", reason="banned"),
        alert("warning", account="desk-a", margin_asset="USDT"),
        alert("warning", account="main", margin_asset="USDC"),
        alert("warning", account="main", symbol="BTCUSDT", position_side="SHORT"),
        alert("warning", account="main", symbol="ETHUSDT", position_side="LONG"),
        alert("warning", "BinanceFuturesLiquidationNear", account="main", symbol="BTCUSDT", position_side="LONG"),
        alert("warning", "BinanceFuturesUnrealizedLossHigh", account="main", margin_asset="USDT"),
        alert("warning", "BinanceFuturesPaused", instance="a:1", endpoint="testnet", reason="rate_limited"),
        alert("warning", "BinanceFuturesPaused", instance="b:1", endpoint="mainnet", reason="rate_limited"),
        alert("warning", account="main", margin_asset="USDT") | {"job": "testnet"},
    ]
    started = datetime.now(UTC).isoformat()
    sent = [{"labels": labels, "startsAt": started} for labels in (*notified, *inhibited)]
    seen: list[dict[str, str]] = []
    with alertmanager(tmp_path, SAMPLE) as server:
        url = f"http://{server.wait_for(LISTENING)}/api/v2"
        with blocking_http_client(url) as client:
            client.post("/alerts", json=sent).raise_for_status()

            def all_are_known() -> bool:
                response = client.get("/alerts").raise_for_status().json()
                seen[:] = [alert["labels"] for alert in response if alert["status"]["inhibitedBy"]]
                return len(response) == len(sent) and len(seen) >= len(inhibited)

            wait_for(all_are_known)

    assert sorted(sorted(labels.items()) for labels in inhibited) == sorted(sorted(labels.items()) for labels in seen)


@pytest.mark.parametrize("name", sorted({alert.name for alert in ALERTS}))
def test_runbook(name: str) -> None:
    """A runbook is named after its alert, has the four sections, and links only to existing files."""
    lines = (PROMETHEUS / "runbooks" / f"{name}.md").read_text(encoding="utf-8").splitlines()
    links = [part.split(")")[0].partition("#")[0] for line in lines for part in line.split("](")[1:]]

    assert f"# {name}" == lines[0]
    assert SECTIONS == [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    assert [] == [link for link in links if not (PROMETHEUS / "runbooks" / link).exists()]


def test_no_runbook_is_orphaned() -> None:
    """Every runbook belongs to an alert."""
    assert {alert.name for alert in ALERTS} == {path.stem for path in (PROMETHEUS / "runbooks").iterdir()}
