"""Accounts of the values: what reaches the exporter, and that no key is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.helm_accounts import KEY, PEM, account
from support.helm_chart import HELM_VERSIONS, configuration_of, feature, refused, rendered
from support.helm_refusals import refusals

from exporter.config.document import ConfigError
from exporter.config.exporter_yml import load
from tools.pod import DIRECTORY, config_map_of, mount

if TYPE_CHECKING:
    from pathlib import Path


KEYS = {"api-key": "made-up-key", "secret-key": "made-up-secret", "key.pem": PEM}
# Names that YAML reads as something else, writes in several lines, or has a special character for.
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
    """An account may have any name that the exporter accepts, and the exporter reads it as it is in the values."""
    objects = rendered(version, values={"accounts": [account(name) for name in NAMES]})
    directory = str(tmp_path / DIRECTORY.lstrip("/"))
    mount(objects, {"binance": KEYS}, tmp_path, directory)

    config = load(tmp_path / DIRECTORY.lstrip("/") / "config" / "exporter.yml", {})

    assert NAMES == [each.name for each in config.accounts]


def check(values: dict[str, Any], folder: Path) -> list[str]:
    """Return where the exporter finds errors in the configuration that the chart makes of values."""
    mount(rendered("4", values=values), {"binance": KEYS}, folder, str(folder / DIRECTORY.lstrip("/")))
    path = folder / DIRECTORY.lstrip("/") / "config" / "exporter.yml"
    try:
        load(path, {})
    except ConfigError as error:
        return [fault.path.removeprefix(f"{path}: ") for fault in error.problems]
    return []


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({}, []),
        ({"config": {"poll": {"interval": "1s", "stale_after": "2s"}, "binance": {"proxy": None}}}, []),
        ({"accounts": [account(poll={"interval": "1h"}, binance={"endpoint": "WSS://[::1]:8443/ws?a=b"})]}, []),
        ({"accounts": [account(secret_key_file="/keys/a key@desk")]}, ["accounts[0].secret_key_file"]),  # not there
        ({"config": {"poll": {"interval": "often"}}}, ["poll.interval"]),
        ({"config": {"binance": {"weight": 1}}}, ["binance.weight"]),
        ({"accounts": [account(), account()]}, ["accounts[1].name"]),
        ({"accounts": [account(private_key_file="key.pem")]}, ["accounts[0].private_key_file"]),
    ],
)
def test_exporter_checks_what_the_chart_does_not(values: dict[str, Any], where: list[str], tmp_path: Path) -> None:
    """What `accounts` and `config` say reaches the exporter, whose check finds the errors in them."""
    assert where == check({"accounts": [account()], **values}, tmp_path)


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
    """A key pasted in place of its Secret, a name or a file is refused, and the message does not show it."""
    for refusal in refusals(with_pasted(field, secret), PASTED):
        assert f"accounts[0].{field}: " in refusal
        assert KEY[:16] not in refusal
        assert PEM.splitlines()[1] not in refusal


@pytest.mark.parametrize("key", ["..data", "keys/secret", "/keys/a:b"])
def test_file_is_a_key_of_a_secret_or_a_path(key: str) -> None:
    """A file that is neither the name of a key in a Secret nor an absolute path is refused."""
    complaint = refused("4", values={"accounts": [account(secret_key_file=key)]})

    assert "accounts[0].secret_key_file: must be the name of a key in the Secret" in complaint


# Texts that the exporter takes for API keys, and similar ones that it does not.
LIKE_KEYS = [
    *(KEY[:40], f"desk {KEY[:40]}", f"{KEY[:20]}-{KEY[20:40]}", f"{KEY[:20]}/{KEY[20:40]}=", f"{KEY[:38]}=="),
    *("a" * 39 + "1", f"{'desk-' * 5}{KEY[:16]}", f"{KEY[:15]}+{'_' * 30}", f"({KEY[:41]})"),
]
UNLIKE_KEYS = [
    *(KEY[:39], f"{KEY[:37]}==", "a" * 40, "1" * 40, f"{KEY[:15]}-{KEY[:15]}-{KEY[:15]}", f"{KEY[:20]}.{KEY[20:40]}"),
    *(f"{KEY[:30]} {KEY[30:60]}", "market-making-desk-2-of-the-frankfurt-office-main", f"{KEY[:38]}交=="),
]


@pytest.mark.parametrize("name", LIKE_KEYS)
def test_name_like_a_key_is_refused(name: str) -> None:
    """A name that the exporter would take for an API key is refused before it gets into a ConfigMap, and not shown."""
    complaint = refused("4", values={"accounts": [account("main"), account(name)]})

    assert "accounts[1].name: looks like an API key; use a display name" in complaint
    assert name not in complaint


def test_other_names_are_accepted(tmp_path: Path) -> None:
    """Long names that the exporter does not take for keys are accepted."""
    assert [] == check({"accounts": [account(name) for name in UNLIKE_KEYS]}, tmp_path)


def test_configuration_is_easy_to_read() -> None:
    """The exporter.yml of the ConfigMap is YAML of several lines, with an account's name before its keys."""
    text = config_map_of(rendered("4", values={"accounts": [account()]}))["data"]["exporter.yml"]

    assert 'accounts:\n  - name: "main"\n    api_key_file:' in text
    assert {"binance", "poll", "funding", "prices", "income", "key_check", "accounts"} == yaml.safe_load(text).keys()


@pytest.mark.parametrize(
    ("all_accounts", "one_account", "is_divided"),
    [(True, {}, True), (False, {"enabled": True}, True), (False, {"enabled": False}, False), (False, None, False)],
)
def test_income_divides_the_rest_weight_share(
    *, all_accounts: bool, one_account: dict[str, bool] | None, is_divided: bool
) -> None:
    """Pods behind one IP get their part of REST's default share if the income of all accounts or of one is read."""
    accounts = [account("main"), account("desk", income=one_account)]
    values = {"shards": 2, "config": {"income": {"enabled": all_accounts}}, "accounts": accounts}
    binance = configuration_of(rendered("4", values=values))["binance"]

    assert (0.1 / 2 if is_divided else None) == binance.get("rest_weight_share")


def test_income_of_accounts_reaches_exporter_yml() -> None:
    """The section income of the configuration and that of an account are written as they are."""
    document = configuration_of(feature("rest"))
    first, second = document["accounts"]

    assert {"enabled": True, "interval": "5m", "stale_after": "2h", "by_symbol": True} == document["income"]
    assert "income" not in first
    assert {"interval": "10m", "since": "day", "by_symbol": False} == second["income"]
