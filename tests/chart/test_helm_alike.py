"""What the chart and the exporter take and refuse alike, each said of one list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.helm_accounts import KEY, account, faults_of
from support.helm_chart import HELM_VERSIONS, rendered
from support.helm_refusals import refusals

if TYPE_CHECKING:
    from pathlib import Path

LIKE_KEYS = [
    *(KEY, KEY[:40], f"desk {KEY[:40]}", f"{KEY[:20]}-{KEY[20:40]}", f"{KEY[:20]}/{KEY[20:40]}=", f"{KEY[:38]}=="),
    *("a" * 39 + "1", f"{'desk-' * 5}{KEY[:16]}", f"{KEY[:15]}+{'_' * 30}", f"({KEY[:41]})"),
]
UNLIKE_KEYS = [
    *(KEY[:39], f"{KEY[:37]}==", "a" * 40, "1" * 40, f"{KEY[:15]}-{KEY[:15]}-{KEY[:15]}", f"{KEY[:20]}.{KEY[20:40]}"),
    *(
        f"{KEY[:30]} {KEY[30:60]}",
        "market-making-desk-2-of-the-frankfurt-office-main",
        f"{KEY[:38]}交==",
        "/".join(["a1" * 7] * 6),
    ),
]
HOSTS = ["exchange", "10.0.0.1", "[fd00::1]", "[::ffff:10.0.0.1]", "[fe80::1%25eth0]", "a_b.c"]
ENDPOINTS = [
    *(f"wss://{host}{rest}" for host in HOSTS for rest in ("", ":443", ":65535", ":0443", ":", "/x", ":8443/a?b")),
    *("wss://exchange/a%25b@c", "wss://exchange/?to=a@b", "wss://exchange?a@b", "WS://exchange/"),
]
NO_ENDPOINTS = [
    *(f"wss://{host}{rest}" for host in HOSTS for rest in (":65536", ":99999", ":100000", ":-1", ":a", "/#a")),
    *(
        "wss://[1.2.3.4]/x",
        "wss://[exchange]",
        "wss://user@exchange/@",
        "wss://us:er@exchange",
        "wss://@exchange",
        "ws:///a",
    ),
]
PROXIES = [
    f"{scheme}://{host}:{port}" for scheme in ("http", "SOCKS5") for host in HOSTS for port in ("1", "65535/", "08")
]
NO_PROXIES = [
    *(f"http://{host}:{port}" for host in HOSTS for port in ("65536", "0", "00", "99999/", "", "1?a", "1#a")),
    *("http://[1.2.3.4]:1", "http://proxy:1/a"),
]


def values_of(field: str, value: str) -> dict[str, Any]:
    """Return values with one account that says something."""
    return {"accounts": [account(value) if field == "name" else account(binance={field: value})]}


@pytest.mark.parametrize("version", HELM_VERSIONS)
@pytest.mark.parametrize(("field", "taken"), [("name", UNLIKE_KEYS), ("endpoint", ENDPOINTS), ("proxy", PROXIES)])
def test_what_the_exporter_takes_is_taken(version: str, field: str, taken: list[str], tmp_path: Path) -> None:
    """Every name, endpoint and proxy that the exporter takes reaches it through the chart."""
    accounts = [values_of(field, value)["accounts"][0] for value in taken]
    if field != "name":
        accounts = [{**each, "name": f"account {index}"} for index, each in enumerate(accounts)]

    assert [] == faults_of({"accounts": accounts}, tmp_path)
    assert rendered(version, values={"accounts": accounts})


REFUSED = [
    *(("name", value) for value in LIKE_KEYS),
    *(("endpoint", value) for value in NO_ENDPOINTS),
    *(("proxy", value) for value in NO_PROXIES),
]
CASES = [values_of(field, value) for field, value in REFUSED]


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_what_the_exporter_refuses_is_refused(field: str, value: str, tmp_path: Path) -> None:
    """A name that looks like a key, and a URL that cannot be one, are refused by the exporter and by the chart."""
    values = values_of(field, value)
    place = "accounts[0].name" if field == "name" else f"accounts[0].binance.{field}"

    assert [place] == faults_of(values, tmp_path)
    for refusal in refusals(values, CASES):
        assert f"{place}: " in refusal
