"""Errors: what each one means, and that no text shows an IP address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import any_text
from support.errors import BANNED, BUG, BY_STATUS, LISTED, OTHERS, RATE_LIMITED, REFUSED, RETRY, STATUSES
from support.processor_time import CHARACTERS, long_text, processor_seconds

from exporter.binance.errors import (
    BinanceError,
    DecodeError,
    ExchangeError,
    NotConnected,
    NotSent,
    OverBudget,
    Paused,
    Reason,
    Verdict,
    classify,
    scrub,
)
from exporter.binance.messages import decode_envelope, decode_error
from exporter.redaction import hidden, hide

if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Callable

RANGE = [code for code in range(-1199, -1099) if code != -1109]


class TestClassify:
    """The table of error codes."""

    @pytest.mark.parametrize("status", STATUSES)
    @pytest.mark.parametrize(("code", "verdict"), LISTED.items())
    def test_listed_code_beats_every_status(self, code: int, status: int | None, verdict: Verdict) -> None:
        """A listed code decides, whatever the status says."""
        assert verdict == classify(ExchangeError(status, code, "words"))

    @pytest.mark.parametrize("status", STATUSES)
    def test_code_of_a_bad_request_is_a_bug(self, status: int | None) -> None:
        """Every -11xx that is not listed is this program's mistake, whatever the status says."""
        verdicts = {classify(ExchangeError(status, code, "Illegal characters.")) for code in RANGE}

        assert {BUG} == verdicts

    @pytest.mark.parametrize("code", [None, 0, 7, 429, -1, -999, -1098, -1200, -4000, -999999])
    @pytest.mark.parametrize(("status", "verdict"), BY_STATUS.items())
    def test_status_decides_without_a_known_code(self, status: int | None, code: int | None, verdict: Verdict) -> None:
        """Where the code is missing or unknown the status decides."""
        assert verdict == classify(ExchangeError(status, code, "words"))

    @pytest.mark.parametrize(
        ("status", "code", "text", "verdict"),
        [
            (418, -1003, "Way too many requests", BANNED),
            (429, -1003, "Too many requests", RATE_LIMITED),
            (429, -1003, "Way too many requests; IP(203.0.113.7) banned until 1659146400000.", BANNED),
            (400, -1003, "banned until 1659146400000", BANNED),
            (401, -2015, "banned", REFUSED),
            (503, None, "banned", RETRY),
        ],
    )
    def test_ban_is_distinguished_from_a_rate_limit(
        self, status: int, code: int | None, text: str, verdict: Verdict
    ) -> None:
        """A rate limit is a ban where the status is 418 or the text says so, and only a rate limit can be one."""
        assert verdict == classify(ExchangeError(status, code, text))

    @pytest.mark.parametrize(("error", "verdict"), OTHERS.items(), ids=lambda failure: type(failure).__name__)
    def test_failures_without_a_response(self, error: BinanceError, verdict: Verdict) -> None:
        """Each failure that is not Binance's own has its reason."""
        assert verdict == classify(error)

    def test_what_never_left_is_not_sent(self) -> None:
        """Exactly the failures of requests that were not sent are NotSent errors."""
        kinds = {type(error) for error in OTHERS if isinstance(error, NotSent)}

        assert {NotConnected, Paused, OverBudget} == kinds


class TestTexts:
    """What the errors say of themselves."""

    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (ExchangeError(400, -1000, "An unknown error"), "An unknown error (code -1000, status 400)"),
            (ExchangeError(None, None, ""), "no message (code None, status None)"),
            (
                ExchangeError(401, -2015, "Invalid API-key, request ip: 203.0.113.7"),
                "Invalid API-key, request ip: [ip] (code -2015, status 401)",
            ),
            (DecodeError("result.assets[0].asset", "is null"), "result.assets[0].asset: is null"),
            (
                Paused(Reason.BANNED, 12.6),
                "the exchange has banned this IP; requests are paused until the ban ends",
            ),
            (
                Paused(Reason.RATE_LIMITED, 0.2),
                "the exchange's rate limit is reached; requests are paused until it resets",
            ),
        ],
    )
    def test_text_says_what_happened(self, error: BinanceError, text: str) -> None:
        """An error's text says what happened in one line."""
        assert text == str(error)

    @pytest.mark.parametrize(
        ("text", "reported_ms", "retry_at_ms"),
        [
            ("IP(203.0.113.7) banned until 1659146400000. Please use the websocket.", None, 1659146400000),
            ("IP banned until 1659146400000", 1700000000000, 1700000000000),
            ("IP banned until 1659146400000", 0, 1659146400000),
            ("banned until 165914640", None, None),
            ("banned until 16591464000001", None, None),
            ("banned until tomorrow", None, None),
            ("", 1700000000000, 1700000000000),
            ("", None, None),
        ],
    )
    def test_end_of_a_ban_is_read_from_the_text(
        self, text: str, reported_ms: int | None, retry_at_ms: int | None
    ) -> None:
        """The end of a ban is that of the error's data, else that of its text, else unknown."""
        assert retry_at_ms == ExchangeError(418, -1003, text, retry_at_ms=reported_ms).retry_at_ms


TEXTS = st.sampled_from(
    [
        "Way too many requests; IP({}) banned until 1659146400000. Please use the websocket.",
        "Invalid API-key, IP, or permissions for action, request ip: {}",
        "request ip: {}, key unknown",
        "{}",
        "[{}]",
        "from {} to {}",
        "'{}'",
        "ip={};",
        "your address is {}.",
        "/{}",
        "({},{})",
        "IP“{}”",
    ]
)


class TestScrub:
    """Texts made fit to be shown."""

    @given(TEXTS, st.ip_addresses(v=4))
    def test_no_ipv4_address_survives(self, text: str, address: ipaddress.IPv4Address) -> None:
        """Nothing is left of an IPv4 address in a text, and the rest of the text is."""
        assert text.replace("{}", "[ip]") == scrub(text.replace("{}", str(address)))

    @given(TEXTS, st.ip_addresses(v=4), st.sampled_from(["IP{}", "ip:{}", "的{}已", "{}:443", "tcp://{}:443/x"]))
    def test_no_ipv4_address_survives_next_to_letters_and_ports(
        self, text: str, address: ipaddress.IPv4Address, adjacent: str
    ) -> None:
        """Letters before an IPv4 address and a port after it do not keep it."""
        assert str(address) not in scrub(text.replace("{}", adjacent).replace("{}", str(address)))

    @given(TEXTS, st.ip_addresses(v=6), st.sampled_from([str, lambda ip: ip.exploded, lambda ip: str(ip).upper()]))
    def test_no_ipv6_address_survives(
        self, text: str, address: ipaddress.IPv6Address, spell: Callable[[object], str]
    ) -> None:
        """Nothing is left of an IPv6 address in a text, however it is spelt."""
        shown = scrub(text.replace("{}", spell(address)))

        assert text.replace("{}", "[ip]").rstrip(".") == shown.rstrip(".")

    @pytest.mark.parametrize(
        "text",
        [
            "ip:2001:db8::1",
            "IP 2001:db8:1:2:3:4:5:6: banned",
            "/2001:db8:0:0:0:0:0:1:443",
            "IP地址2001:db8::1已",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "x.203.0.113.7",
            "0203.0.113.7",
        ],
    )
    def test_no_address_survives_in_an_odd_place(self, text: str) -> None:
        """Nothing is left of an address, whatever is directly next to it."""
        shown = scrub(text)

        assert "[ip]" in shown
        assert not re.search(r"[0-9]", shown)

    @given(TEXTS, st.ip_addresses(v=4), st.sampled_from(["::ffff:{}", "64:ff9b::{}", "0:0:0:0:0:ffff:{}"]))
    def test_no_mapped_address_survives(self, text: str, address: ipaddress.IPv4Address, mapped: str) -> None:
        """Nothing is left of an IPv4 address inside an IPv6 address."""
        shown = scrub(text.replace("{}", mapped.format(address)))

        assert text.replace("{}", "[ip]").rstrip(".") == shown.rstrip(".")

    @given(any_text)
    def test_any_text_is_one_short_line(self, text: str) -> None:
        """Any text becomes at most 300 characters on one line without control characters."""
        shown = scrub(text)

        assert 300 >= len(shown)
        assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("  An unknown\r\n\terror\x1b[31m\x00 ", "An unknown error [31m"),
            ("x" * 301, "x" * 299 + "…"),
            ("x" * 290 + " 203.0.113.7", "x" * 290 + " [ip]"),
            ("peer [2001:db8::1]:443 left", "peer [[ip]]:443 left"),
            ("from [::ffff:203.0.113.7]:443", "from [[ip]]:443"),
            ("from ::ffff:cb00:7107,", "from [ip],"),
            ("IP(fe80::1%eth0) banned", "IP([ip]%eth0) banned"),
            ("2001:DB8:0:0:8:800:200C:417A/64", "[ip]/64"),
            ("203.0.113.7:443 and 203.0.113.8", "[ip]:443 and [ip]"),
        ],
    )
    def test_what_is_replaced_in_a_text(self, text: str, shown: str) -> None:
        """Only addresses, unprintable characters and what is too long are replaced; brackets and ports stay."""
        assert shown == scrub(text)

    @pytest.mark.parametrize(
        "text",
        [
            "币安人生USDT é",
            "version 1.2.3 of 2024, 1.5.",
            "std::vector of 12:30, a: b",
            "x" * 300,
            "at 12:30:45, until 23:59:59.123",
            "2024-01-01T12:30:45Z",
            "2024-01-01T12:30:45.678+02:00",
            "price 67123.45 not above 0.00001234",
            "version 2.10.3",
            "Method v2/account.status is invalid",
            "range 10:00-11:00, ratio 1:2",
            "IP banned until 1659146400000",
            "PRICE_FILTER::tickSize",
        ],
    )
    def test_text_without_an_address_stays(self, text: str) -> None:
        """Times, versions, prices, ratios and names are not changed."""
        assert text == scrub(text)


@pytest.mark.no_cover
@pytest.mark.parametrize("characters", CHARACTERS)
def test_long_text_costs_no_more_than_reading_it(characters: str) -> None:
    """Cleaning 4 MiB of any characters takes no longer than a few scans of the text, whatever secrets are hidden."""
    with hidden([f"{number:064x}" for number in range(1000)]):
        pass
    text = long_text(characters)
    frame = msgspec.json.encode({"id": None, "status": 418, "error": {"code": -1003, "msg": text}}).decode()

    scan = processor_seconds(lambda: re.search("[~^]", text))
    assert 8 * scan > processor_seconds(lambda: scrub(text))
    assert 8 * scan > processor_seconds(lambda: decode_error(decode_envelope(frame)))


@pytest.mark.no_cover
@pytest.mark.parametrize("before", [" ", "1", ".", "x ", "%20", "-"])
def test_cut_leaves_no_half_of_an_address_or_secret(before: str) -> None:
    """Wherever a long text is cut, no part of an address or of a hidden passphrase is shown."""
    passphrase = "correct horse battery staple"
    hide(passphrase)
    for length in range(9_100, 9_300, 11):
        text = before * (length // len(before)) + f" 203.0.113.7 {passphrase} " * 400

        assert not re.search(r"203|113|horse|batter|staple", scrub(text))
