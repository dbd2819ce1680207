"""What an operator can do about a failed request or a failed dial."""

from __future__ import annotations

import re

import pytest
from support.errors import LISTED, OTHERS, STATUSES

from exporter.binance.advice import advise, advise_on_dial_failure
from exporter.binance.disconnects import DialFailure
from exporter.binance.errors import DisconnectReason, ExchangeError, NotConnected, Reason, classify

ERRORS = (
    *OTHERS,
    *(ExchangeError(400, code, "") for code in LISTED),
    *(ExchangeError(status, None, "") for status in STATUSES),
)


def test_every_reason_has_advice() -> None:
    """Every reason can come about and has advice of one phrase, on one line, without a full stop."""
    advice = {classify(error).reason: advise(error) for error in ERRORS}

    assert set(Reason) == set(advice)
    assert [] == [text for text in map(advise, ERRORS) if not re.fullmatch(r"\S[^\n]{9,}[^.\s]", text)]


def test_advice_for_an_unknown_code_is_its_reasons() -> None:
    """An unknown code is advised on by its reason."""
    assert advise(ExchangeError(500, None, "")) == advise(ExchangeError(400, -987654, ""))


def test_usual_refusals_differ_in_their_advice() -> None:
    """The usual reasons for a refusal have advice of their own."""
    codes = (-1002, -1022, -2008, -2014, -2015)

    assert len(codes) == len({advise(ExchangeError(401, code, "")) for code in codes})


def test_advice_on_what_the_operator_cannot_fix() -> None:
    """A request that the exchange does not take is not blamed on the key."""
    assert "newer release, or report it" in advise(ExchangeError(400, -1102, "malformed"))


def test_advice_of_the_last_dial() -> None:
    """Without a connection the advice is that of the last dial, where it has one."""
    assert "leave by another IP" == advise(NotConnected("refused", "leave by another IP"))
    assert "check the network" in advise(NotConnected("refused"))


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (DialFailure(DisconnectReason.REJECTED, "x", 451), "this IP or region"),
        (DialFailure(DisconnectReason.REJECTED, "x", 403), "this IP or region"),
        (DialFailure(DisconnectReason.REJECTED, "x", 404), "the endpoint's URL"),
        (DialFailure(DisconnectReason.REJECTED, "x", 502), "internal error"),
        (DialFailure(DisconnectReason.DNS, "x"), "DNS servers"),
        (DialFailure(DisconnectReason.TLS, "x"), "certificates"),
        (DialFailure(DisconnectReason.RESET, "x"), ""),
        (DialFailure(DisconnectReason.REJECTED, "x", 400), ""),
    ],
)
def test_advice_fits_the_refusal(refusal: DialFailure, words: str) -> None:
    """What to do about a refused dial depends on who refused it, and how."""
    failure = advise_on_dial_failure(refusal)

    assert words in failure
    assert bool(words) is bool(failure)
