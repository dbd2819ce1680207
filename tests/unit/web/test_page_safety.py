"""What the status page must not show: markup from outside, balances and secrets."""

from __future__ import annotations

from typing import Final

import pytest
from support.builders import ENDPOINT, make_connection
from support.clocks import Clock
from support.status_page import NOW, at_risk, attributes, page, state, with_used_weight

from exporter.account.state import Failure
from exporter.binance.dialing import Endpoint
from exporter.binance.errors import Reason
from exporter.formatting import escape_unprintable
from exporter.web.page import render_page

HOSTILE: Final = [
    "<script>alert(1)</script>",
    "</td></table><h1>x</h1>",
    "\"' onclick='x' {{ 7 * 7 }} {% raw %} &amp;",
    "שלום \u202ertl\u202c עולם",
    "n" * 100,
    "币安人生",
    "BTC\x1b[31m\r\n\x85\u2028\u2066USDT\u200b\x00",
]


@pytest.mark.parametrize("symbol", HOSTILE)
def test_hostile_symbols(symbol: str) -> None:
    """Markup, quotes, foreign scripts and length in a symbol stay text; control and bidi characters are escaped."""
    shown = page([state("up")], main=at_risk(symbol))

    assert [tag for tag, _ in page([state("up")], main=at_risk()).tags] == [tag for tag, _ in shown.tags]
    assert escape_unprintable(symbol) == shown.row(escape_unprintable(symbol))[0]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_texts(name: str) -> None:
    """Markup, quotes, foreign scripts and control characters in a name, an endpoint or a failure stay text."""
    endpoint = Endpoint(name, "ws://localhost:1/")
    troubled = state("failing", name, endpoint=endpoint)
    troubled.last_failure = Failure(Reason.EXCHANGE, name, "wait")
    connection = with_used_weight(make_connection(endpoint, Clock(NOW)), 1, 2400)
    shown = page([troubled], [connection])
    plain = page([state("failing")], [with_used_weight(make_connection(ENDPOINT, Clock(NOW)), 1, 2400)])

    name = escape_unprintable(name)
    accounts, endpoints = [row for row in shown.rows if row[0] == name]
    assert name == accounts[7]
    assert [name, ": exchange", name] == shown.texts[shown.texts.index("Failures") + 1 :][:3]
    assert "1 of 2,400" == endpoints[4]
    assert {"aria-label": f"Request weight used of {name}"}.items() <= dict(attributes(shown, "meter")).items()
    assert [tag for tag, _ in plain.tags] == [tag for tag, _ in shown.tags]


def test_no_money() -> None:
    """The page shows no balances, sizes or profits."""
    html = render_page([state("up")], [], NOW, "/metrics", "1.2.3", {"main": at_risk()})

    assert not [figure for figure in ("77.0", "8765", "8,765", "-20", "-40", "100.0<", "6.0<") if figure in html]


def test_nothing_secret() -> None:
    """The page shows no keys, no addresses with their paths and no proxy's password."""
    endpoint = Endpoint(
        "mainnet via proxy:3128", "wss://exchange.test/secret-path?x", "http://user:password@proxy:3128"
    )
    account = state("failing", endpoint=endpoint)
    html = render_page([account], [make_connection(endpoint, Clock(NOW)).state], NOW, "/metrics", "1.2.3")
    kept = [account.settings.credentials.api_key.reveal(), "secret key", "exchange.test", "secret-path", "password"]

    assert "mainnet via proxy:3128" in html
    assert [] == [text for text in kept if text in html]
    assert "://" not in html
