"""What Helm says after an installation."""

from __future__ import annotations

import pytest
from helm_chart import CHART, NAME, helm


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("demo", ["No figure is real", "curl http://127.0.0.1:10427/metrics", "Nothing scrapes it yet"]),
        ("accounts", ["polls 3 accounts in 1 pod.", "get secrets binance-main desk.a", "port-forward"]),
        ("shards", ["polls 1 account in 3 pods."]),
        ("tls", [f"curl --cacert ca.crt --connect-to ::127.0.0.1:10427 https://{NAME}.trading.svc:10427/metrics"]),
        ("client-certificates", ["--cert client.crt"]),
        ("passwords", ["-u NAME"]),
    ],
)
def test_notes_tell_how_to_see_metrics(name: str, told: list[str]) -> None:
    """After an installation Helm tells how to see metrics, with the scheme, certificates and passwords in use."""
    values = CHART / "ci" / f"{name}-values.yaml"
    # Helm 4 alone does so without a cluster.
    done = helm("4", "install", "desk", CHART, "--dry-run=client", "--namespace=trading", "--values", values)

    assert 0 == done.returncode, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert [] == [each for each in told if each not in notes]
    assert f"port-forward {NAME}-0 10427:10427" in notes
