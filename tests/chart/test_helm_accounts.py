"""What the chart refuses of accounts before a pod would, and that it takes what the exporter takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.helm_accounts import KEY, PEM, account, faults_of, of
from support.helm_chart import HELM_VERSIONS, configuration_of, refused, rendered
from support.helm_refusals import refusals

from exporter.config import load
from tools.pod import DIRECTORY, config_map_of, mount

if TYPE_CHECKING:
    from pathlib import Path


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "accounts[0].name", "name"),
    ({"name": " main"}, "accounts[0].name", "must not begin or end with a space"),
    ({"name": "main\u00a0"}, "accounts[0].name", "must not begin or end with a space"),
    ({"name": "main\tone"}, "accounts[0].name", "nor hold control characters"),
    ({"name": "main\u2028one"}, "accounts[0].name", "nor hold control characters"),
    ({"name": "x" * 101}, "accounts[0].name", "name"),
    ({"name": 1}, "accounts[0].name", "name"),
    ({"name": f"key {KEY}"}, "accounts[0].name", "accounts[0].name: looks like a key"),
    (
        {"accounts": [account("a"), account("b"), account("a", secretName="other")]},
        "accounts[2].name",
        'accounts[2].name: "a" is taken already',
    ),
    (
        {"accounts": [{"name": "main", "secretName": "binance", "api_key_file": "api-key"}]},
        "accounts[0].secret_key_file",
        "accounts[0]: name either secret_key_file (HMAC) or private_key_file (Ed25519, RSA)",
    ),
    ({"private_key_file": "key.pem"}, "accounts[0].private_key_file", "accounts[0]: name either secret_key_file"),
    ({"poll": {"interval": "500ms"}}, "accounts[0].poll.interval", "accounts[0].poll.interval: must be from 1s"),
    ({"poll": {"interval": "0"}}, "accounts[0].poll.interval", "interval"),
    ({"poll": {"interval": "15"}}, "accounts[0].poll.interval", "interval"),
    ({"poll": {"interval": "1s1m"}}, "accounts[0].poll.interval", "interval"),
    ({"poll": {"interval": ""}}, "accounts[0].poll.interval", "interval"),
    (
        {"poll": {"interval": "20s", "stale_after": "39s"}},
        "accounts[0].poll.stale_after",
        "accounts[0] (main): stale_after 39s is less than 2 intervals of 20s",
    ),
    ({"poll": {"stale_after": "29s999ms"}}, "accounts[0].poll.stale_after", "is less than 2 intervals of 15s"),
    ({"config": {"poll": {"interval": "1h1ms"}}}, "poll.interval", "config.poll.interval: must be from 1s to 1h"),
    (
        {"config": {"poll": {"stale_after": "1m"}}, "accounts": [account(poll={"interval": "31s"})]},
        "poll.stale_after",
        "stale_after 1m is less than 2 intervals of 31s",
    ),
    ({"binance": {"recv_window": "0ms"}}, "accounts[0].binance.recv_window", "must be from 1ms to 60s"),
    ({"binance": {"recv_window": "1m1ms"}}, "accounts[0].binance.recv_window", "must be from 1ms to 60s"),
    ({"binance": {"request_timeout": "99ms"}}, "accounts[0].binance.request_timeout", "must be from 100ms to 60s"),
    (
        {"config": {"binance": {"request_timeout": "61s"}}},
        "binance.request_timeout",
        "config.binance.request_timeout: must be from 100ms to 60s",
    ),
    ({"binance": {"endpoint": "https://exchange"}}, "accounts[0].binance.endpoint", "must be mainnet, testnet"),
    ({"binance": {"endpoint": "main net"}}, "accounts[0].binance.endpoint", "must be mainnet, testnet"),
    ({"binance": {"endpoint": "wss://"}}, "accounts[0].binance.endpoint", "must be mainnet, testnet"),
    ({"binance": {"endpoint": "wss://exchange:port"}}, "accounts[0].binance.endpoint", "must be mainnet"),
    ({"binance": {"endpoint": "wss://ex change"}}, "accounts[0].binance.endpoint", "must be mainnet"),
    ({"binance": {"endpoint": "wss://exchange/#a"}}, "accounts[0].binance.endpoint", "must be mainnet"),
    ({"binance": {"endpoint": "wss://user@exchange"}}, "accounts[0].binance.endpoint", "must be mainnet"),
    ({"binance": {"proxy": "http://proxy"}}, "accounts[0].binance.proxy", "ends in its port"),
    ({"binance": {"proxy": "http://proxy:0"}}, "accounts[0].binance.proxy", "ends in its port"),
    ({"binance": {"proxy": "http://proxy:3128/path"}}, "accounts[0].binance.proxy", "ends in its port"),
    ({"config": {"binance": {"proxy": "ftp://proxy:21"}}}, "binance.proxy", "config.binance.proxy: must be none"),
    ({"config": {"binance": {"proxy": "http://user@proxy:21"}}}, "binance.proxy", "set HTTPS_PROXY to it"),
]
CASES = [{"accounts": [account()], **of(given)} for given, _, _ in REFUSED]


@pytest.mark.parametrize(("given", "where", "complaint"), REFUSED)
def test_what_a_pod_would_refuse_is_refused(given: dict[str, Any], where: str, complaint: str, tmp_path: Path) -> None:
    """What the exporter finds wrong with an account, keys left out, is refused at once, with the place and a reason."""
    values = of(given)

    assert where in faults_of(values, tmp_path)
    for refusal in refusals({"accounts": [account()], **values}, CASES):
        assert complaint in refusal


# Names that YAML reads as something else, writes in several lines, or has a sign of its own for.
NAMES = [
    *("=", "<<", "~", "null", "yes", "y", "1:30", "017", "1_000", ".5", "1e3", "2024-01-01", "-", "---", "...", "#a"),
    *("a: b", "a #b", "- a", "? a", "*a", "&a", "!a", "|", ">", "%a", "@a", "'", '"', "\\", "a\\n", "{{ .Values }}"),
    *(
        "{a",
        "[a]",
        "$(POD_NAME)",
        "the other",
        "a" * 100,
        " ".join(["word"] * 20),
        "交易台",
        "🚀 a",
        "a\u00ada",
        "a\ufeffa",
    ),
]


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_name_stays_as_it_is(version: str, tmp_path: Path) -> None:
    """An account may have any name that the exporter takes, and the exporter reads it as it stands in the values."""
    objects = rendered(version, values={"accounts": [account(name) for name in NAMES]})
    directory = str(tmp_path / DIRECTORY.lstrip("/"))
    keys = {"api-key": "made-up-key", "secret-key": "made-up-secret"}
    mount(objects, {"binance": keys}, tmp_path, directory)

    config = load(tmp_path / DIRECTORY.lstrip("/") / "config" / "exporter.yml", {})

    assert NAMES == [each.name for each in config.accounts]


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_bounds_are_taken(version: str, tmp_path: Path) -> None:
    """The least and the most that the exporter takes of times, and its ways to write URLs, are taken."""
    values: dict[str, Any] = {
        "config": {"poll": {"interval": "1s", "stale_after": "2s"}, "binance": {"proxy": None, "recv_window": "1m"}},
        "accounts": [
            account("a", poll={"interval": "1h", "stale_after": "1h60m"}, binance={"recv_window": "1ms"}),
            account("b", poll={"position_risk": False}, binance={"request_timeout": "100ms", "proxy": "none"}),
            account("c", binance={"request_timeout": "60s", "endpoint": "WSS://[::1]:8443/ws-fapi/v1?a=b"}),
            account("d", binance={"endpoint": "ws://exchange", "proxy": "socks5h://[fd00::1]:1080/"}),
            account("z", binance={"endpoint": "demo"}),
            account("e", poll={"interval": "015s", "stale_after": "30s"}, asset_mode="auto"),
            account("f", poll=None, binance=None),
        ],
    }
    document = configuration_of(rendered(version, values=values))

    assert [] == faults_of(values, tmp_path)
    assert [{"interval": "1h", "stale_after": "1h60m"}, {"position_risk": False}] == [
        each["poll"] for each in document["accounts"][:2]
    ]
    assert {"endpoint": "mainnet", "proxy": None, "recv_window": "1m", "weight_share": 0.5} == document["binance"]


def with_pasted(field: str, secret: str) -> dict[str, Any]:
    """Return values of an account with a secret in a field."""
    pasted = {**account(), field: secret}
    if field.startswith("private"):
        pasted = {"private_key_file": "key.pem", **pasted}
        del pasted["secret_key_file"]
    return {"accounts": [pasted]}


FIELDS = ["name", "secretName", "api_key_file", "secret_key_file", "private_key_file", "private_key_passphrase_file"]
SECRETS = [KEY, KEY[:40] + "/+==", PEM, f"{KEY}\n"]
PASTED = [with_pasted(field, secret) for field in FIELDS for secret in SECRETS]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("field", FIELDS)
def test_key_in_a_wrong_place_is_not_shown(field: str, secret: str) -> None:
    """A key that was pasted where its Secret, a name or a file is wanted is refused, and not shown by the refusal."""
    for refusal in refusals(with_pasted(field, secret), PASTED):
        assert f"accounts[0].{field}: " in refusal
        assert KEY[:16] not in refusal
        assert PEM.splitlines()[1] not in refusal


@pytest.mark.parametrize("key", [".", "..", "..data", "keys/secret"])
def test_keys_of_a_secret_are_named_as_kubernetes_does(key: str) -> None:
    """What no key of a Secret can be called is refused where a key is named."""
    complaint = refused("4", values={"accounts": [account(secret_key_file=key)]})

    assert "accounts[0].secret_key_file: must be what the Secret calls the key" in complaint


def test_configuration_is_easy_to_read() -> None:
    """The exporter.yml of the ConfigMap is YAML of several lines, with an account's name before its keys."""
    text = config_map_of(rendered("4", values={"accounts": [account()]}))["data"]["exporter.yml"]

    assert 'accounts:\n  - name: "main"\n    api_key_file:' in text
    assert {"binance", "poll", "accounts"} == yaml.safe_load(text).keys()
