"""What Helm says after an installation."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.helm_chart import CHART, HELM_VERSIONS, NAME, documents, helm

from tools.pod import only

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def notes_of(values: Mapping[str, Any], release: str = "desk") -> str:
    """Return what Helm prints after an installation with these values."""
    # Helm 4 alone does so without a cluster.
    flags = ("--dry-run=client", "--namespace=trading", "--values=-")
    done = helm("4", "install", release, CHART, *flags, given=json.dumps(values))
    assert 0 == done.returncode, done.stderr
    return done.stdout.partition("NOTES:")[2]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("demo", ["curl http://127.0.0.1:10427/metrics", "serviceMonitor.enabled"]),
        ("accounts", ["3 accounts in 1 pod", "get secret/binance-main secret/desk.a\n", "port-forward"]),
        ("shards", ["1 account in 3 pods. There are more pods than accounts"]),
        ("tls", [f"curl --cacert ca.crt --connect-to ::127.0.0.1:10427 https://{NAME}.trading.svc:10427/metrics"]),
        ("config-map", ["get secret/exporter-tls configmap/exporter-config\n"]),
        ("client-certificates", ["--cert client.crt"]),
        ("passwords", ["-u NAME"]),
    ],
)
def test_notes_say_how_to_see_metrics(name: str, expected: list[str]) -> None:
    """After an installation Helm prints how to see metrics, with the scheme, certificates and passwords in use."""
    notes = notes_of(yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text(encoding="utf-8")))

    assert [] == [each for each in expected if each not in notes]
    assert f"port-forward {NAME}-0 10427:10427" in notes


def account(name: str, secret: str) -> dict[str, str]:
    """Return an account of the values."""
    return {"name": name, "secretName": secret, "api_key_file": "a", "secret_key_file": "b"}


def variable(name: str, secret: str, **more: Any) -> dict[str, Any]:
    """Return a variable whose value is in a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": "url", **more}}}


@pytest.mark.parametrize(
    ("values", "listed"),
    [
        ({"accounts": [account("a", "two"), account("b", "one"), account("c", "two")]}, "secret/one secret/two"),
        ({"accounts": [account("a", "one")], "web": {"existingSecret": "web"}}, "secret/one secret/web"),
        (
            {
                "accounts": [account("a", "one")],
                "web": {"existingSecret": "web", "tls": {"enabled": True, "secretName": "tls"}},
                "extraEnv": [variable("HTTPS_PROXY", "proxy"), variable("A", "perhaps", optional=True), {"name": "B"}],
            },
            "secret/one secret/proxy secret/tls secret/web",
        ),
        ({"accounts": [account("a", "one")], "web": {"tls": {"enabled": True, "secretName": "one"}}}, "secret/one"),
        ({"demo": True, "web": {"existingSecret": "web"}, "accounts": [account("a", "one")]}, "secret/web"),
        (
            {"existingConfigMap": "a", "envFrom": [{"secretRef": {"name": "env"}}, {"configMapRef": {"name": "b"}}]},
            "secret/env configmap/a configmap/b",
        ),
    ],
)
def test_notes_list_the_objects_that_pods_wait_for(values: dict[str, Any], listed: str) -> None:
    """Helm names once each Secret and ConfigMap without which a pod cannot start."""
    notes = notes_of(values)

    assert f"kubectl --namespace trading get {listed}\n" in notes
    assert f"kubectl --namespace trading describe pod {NAME}-0\n" in notes


def test_notes_of_the_demo_want_no_secret() -> None:
    """Where there is no Secret to wait for, none is spoken of."""
    assert "Pods do not start" not in notes_of({"demo": True})


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_fraction_of_the_readme_is_taken(version: str, tmp_path: Path) -> None:
    """The README's example of a fraction works with its example of values, and the same by --set is refused."""
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(# values\.yaml\n.*?)```", readme, re.DOTALL)
    command = re.search(r"^\$ helm upgrade (futures) \S+ (.*--set-json.*)$", readme, re.MULTILINE)
    assert block
    assert command
    (tmp_path / "values.yaml").write_text(block[1], encoding="utf-8")
    flags = shlex.split(command[2].replace("values.yaml", str(tmp_path / "values.yaml")))

    taken = helm(version, "template", command[1], CHART, *flags)
    text = helm(version, "template", command[1], CHART, *(flag.replace("--set-json", "--set") for flag in flags))

    assert 0 == taken.returncode, taken.stderr
    assert "> 0.65 or " in json.dumps(only(documents(taken.stdout), "PrometheusRule"))
    assert 0 != text.returncode
    assert "margin_ratio_warning" in text.stderr


POLICY = {"networkPolicy": {"enabled": True}}


def reaching(**binance: str) -> dict[str, Any]:
    """Return values with a policy, and an account that reaches the exchange in a way."""
    return {**POLICY, "accounts": [{**account("a", "one"), "binance": binance}]}


@pytest.mark.parametrize(
    ("values", "mentioned"),
    [
        (reaching(), False),
        (reaching(proxy="none"), False),
        *(
            (reaching(endpoint=f"wss://{host}/a:1?b"), False)
            for host in ("exchange", "[fd00::1]", "a:443", "a:0443", "a:")
        ),
        (reaching(endpoint="ws://exchange:443"), False),
        *((reaching(endpoint=f"wss://{host}"), True) for host in ("exchange:8443", "[fd00::1]:9443", "a:1443/")),
        (reaching(endpoint="WS://exchange"), True),
        (reaching(proxy="http://proxy:3128"), True),
        ({**reaching(), "networkPolicy": {"enabled": False}, "config": {"binance": {"proxy": "http://p:1"}}}, False),
        ({**reaching(), "config": {"binance": {"proxy": "http://proxy:3128"}}}, True),
        ({**reaching(), "config": {"binance": {"rest_endpoint": "https://rest.example"}}}, False),
        ({**reaching(), "config": {"binance": {"rest_endpoint": "https://rest.example:8443"}}}, True),
        ({**reaching(), "extraEnv": [variable("HTTPS_PROXY", "proxy")]}, True),
        ({**POLICY, "demo": True, "config": {"binance": {"proxy": "http://proxy:3128"}}}, False),
    ],
)
def test_notes_say_what_the_policy_blocks(values: dict[str, Any], *, mentioned: bool) -> None:
    """Where pods must reach a proxy, or an endpoint not at port 443, Helm says that the policy has to let them."""
    assert mentioned == ("networkPolicy.extraEgress" in notes_of(values))


@pytest.mark.parametrize(
    ("tls", "config", "said"),
    [
        ({}, {}, ["against the public CAs"]),
        ({}, {"serverName": "a"}, []),
        ({"secretName": "tls"}, {}, []),
        ({"secretName": "tls", "clientCertificates": True}, {}, ["no client certificate"]),
        ({"secretName": "tls", "clientCertificates": True}, {"certFile": "/a"}, []),
        ({"secretName": "tls", "clientCertificates": True}, {"cert": {}}, ["no client certificate"]),
    ],
)
def test_notes_say_what_a_monitor_lacks(tls: dict[str, Any], config: dict[str, Any], said: list[str]) -> None:
    """Helm says if Prometheus has no CA to verify the exporter with, or lacks the required client certificate."""
    values = {
        "demo": True,
        "web": {"existingSecret": "web", "tls": {"enabled": True, **tls}},
        "serviceMonitor": {"enabled": True, "tlsConfig": config},
    }
    notes = notes_of(values)

    assert said == [each for each in ("against the public CAs", "no client certificate") if each in notes]
    assert bool(said) == ("set serviceMonitor.tlsConfig" in notes)


@pytest.mark.parametrize("rules", [True, False])
def test_notes_warn_of_alerts_of_the_demo(*, rules: bool) -> None:
    """If the demo runs with rules, Helm says that its draw-down sets off their alerts."""
    assert rules == ("PrometheusRule" in notes_of({"demo": True, "prometheusRule": {"enabled": rules}}))
