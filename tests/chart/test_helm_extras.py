"""What can be added to the pods: nothing that undoes what the chart sets, and no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.helm_accounts import KEY, PEM, account
from support.helm_chart import HELM_VERSIONS, feature, refused, rendered

from exporter.cli.flags import FLAGS
from exporter.config.keys import VARIABLES
from tools.pod import arguments_of, exporter_of

FREE = {"--web.enable-lifecycle", "--web.disable-exporter-metrics"}
OWN = {flag.name: flag.variable for flag in FLAGS["run"] if flag.name not in FREE}


@pytest.mark.parametrize(("flag", "variable"), OWN.items())
def test_what_the_chart_sets_cannot_be_set_again(flag: str, variable: str) -> None:
    """A flag that the chart sets, or that would break probes or monitors, is refused, and so is its variable."""
    assert f"extraArgs[0]: {flag} cannot be changed" in refused("4", values={"demo": True, "extraArgs": [f"{flag}=1"]})
    complaint = refused("4", values={"demo": True, "extraEnv": [{"name": variable, "value": "1"}]})

    assert f"extraEnv[0]: {variable} cannot be set" in complaint


def test_flags_of_the_chart_are_among_the_refused() -> None:
    """Every flag that a pod is started with is one that cannot be given again."""
    flags = {each.partition("=")[0] for name in ("accounts", "tls") for each in arguments_of(feature(name))}

    assert {"--config.file", "--shard", "--total-shards", "--web.config.file"} < flags
    assert flags < set(OWN)


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_other_flags_and_variables_are_taken(version: str) -> None:
    """The flags that the chart leaves alone reach the pods, and so does any variable without a secret."""
    variables: list[dict[str, Any]] = [
        {"name": "HTTPS_PROXY", "value": "http://proxy.egress.svc:3128"},
        {"name": "NO_PROXY", "value": "localhost,.svc,10.0.0.0/8,ops@example.com"},
        {"name": "BINANCE_FUTURES_EXPORTER_WEB_ENABLE_LIFECYCLE", "value": "true"},
        {"name": "TRACE_ID", "value": KEY[:63]},
        {"name": "ALL_PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
    ]
    container = exporter_of(rendered(version, values={"demo": True, "extraArgs": sorted(FREE), "extraEnv": variables}))

    assert sorted(FREE) == container["args"][-2:]
    assert variables == container["env"][1:]


@pytest.mark.parametrize("name", [*VARIABLES, "BINANCE_PRIVATE_KEY", "POD_NAME"])
def test_variables_of_an_account_are_refused(name: str) -> None:
    """The variables of an exporter without a configuration file are refused, even from a Secret."""
    reference = {"secretKeyRef": {"name": "binance", "key": "api-key"}}
    complaint = refused("4", values={"demo": True, "extraEnv": [{"name": name, "valueFrom": reference}]})

    assert f"extraEnv[0]: {name} cannot be set" in complaint


SECRETIVE: list[tuple[dict[str, Any], str]] = [
    ({"extraEnv": [{"name": "A", "value": "http://user:sesame@proxy:3128"}]}, "extraEnv[0].value"),
    ({"extraEnv": [{"name": "A", "value": "http://user:ses/ame@proxy:3128"}]}, "extraEnv[0].value"),
    ({"extraEnv": [{"name": "A", "value": "socks5://sesame@proxy:1080"}]}, "extraEnv[0].value"),
    ({"extraEnv": [{"name": "A"}, {"name": "B", "value": f"key={KEY}"}]}, "extraEnv[1].value"),
    ({"extraEnv": [{"name": f"BINANCE_API_KEY={KEY}"}]}, "extraEnv[0].name"),
    ({"extraArgs": [f"--secret={KEY}"]}, "extraArgs[0]"),
    ({"extraArgs": [KEY]}, "extraArgs[0]"),
    ({"config": {"binance": {"proxy": "http://user:sesame@proxy:3128"}}}, "config.binance.proxy"),
    ({"config": {"binance": {"endpoint": "wss://user:sesame@exchange"}}}, "config.binance.endpoint"),
    ({"extraEnv": [{"name": "HTTPS_PROXY", "value": "user:sesame@proxy:3128"}]}, "extraEnv[0].value"),
    ({"extraArgs": ["--proxy=user:ses@me/sesame@[fd00::1]:3128"]}, "extraArgs[0]"),
    ({"podAnnotations": {"note": '{"proxy":"user:sesame@proxy"}'}}, "podAnnotations.note"),
    ({"config": {"binance": {"proxy": "user:sesame@proxy"}}}, "config.binance.proxy"),
    ({"podAnnotations": {"note": "https://sesame0123456789sesame@example.com/x"}}, "podAnnotations.note"),
    ({"podAnnotations": {"note": f"$2b$10${KEY[:53]}"}}, "podAnnotations.note"),
    ({"extraEnv": [{"name": "A", "value": json.dumps({"k": KEY})}]}, "extraEnv[0].value"),
    ({"initContainers": [{"command": ["sh", "-c", f"echo {KEY} > /keys/a"]}]}, "initContainers[0].command[2]"),
    ({"accounts": [account(secret_key_file=f"/{KEY}")]}, "accounts[0].secret_key_file"),
    ({"podAnnotations": {"note": KEY}}, "podAnnotations.note"),
    ({"podAnnotations": {KEY: "note"}}, "podAnnotations (key)"),
    ({"initContainers": [{"name": "a", "env": [{"name": "B", "value": PEM}]}]}, "initContainers[0].env[0].value"),
    ({"extraContainers": [{}, {"args": ["--url=http://user:sesame@proxy:1"]}]}, "extraContainers[1].args[0]"),
    ({"extraManifests": [{"kind": "ConfigMap", "data": {"key": PEM}}]}, "extraManifests[0].data.key"),
    (
        {"extraManifests": [{"data": {"exporter.yml": f"accounts:\n- name: main\n  api_key: {KEY}\n"}}]},
        "extraManifests[0].data.exporter.yml",
    ),
    ({"extraManifests": [f"kind: ConfigMap\ndata:\n  api-key: {KEY}\n  other: a"]}, "extraManifests[0]"),
    ({"extraManifests": [f"kind: ConfigMap\ndata: {{key: '{PEM[:30]}'}}"]}, "extraManifests[0]"),
]


@pytest.mark.parametrize(("added", "place"), SECRETIVE)
def test_secret_in_a_value_is_refused_and_not_shown(added: dict[str, Any], place: str) -> None:
    """A password in a URL, or what looks like a key, is refused in every value with its place, and not shown."""
    complaint = refused("4", values={"demo": True, **added})

    assert f"{place}: looks like a key or contains a password" in complaint
    for part in ("sesame", KEY[:16], PEM.splitlines()[1]):
        assert part not in complaint
