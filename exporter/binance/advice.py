"""What an operator can do about a failed request or a failed dial, as phrases without a full stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.binance.disconnects import DialFailure
from exporter.binance.errors import Action, DisconnectReason, ExchangeError, NotConnected, Reason, classify

if TYPE_CHECKING:
    from exporter.binance.errors import BinanceError

_ADVICE_BY_CODE: Final[dict[int, str]] = {
    -1002: "the key may not ask for this account: check its permissions",
    -1011: "this machine's IP may not use the API: check the key's IP list and the exchange's regional rules",
    -1021: "check this machine's clock (NTP), and the network's delay against recv_window",
    -1022: (
        "check that the secret or private key belongs to this API key, without quotes around it and without another "
        "encoding such as base64"
    ),
    -1099: "check that the API key and its secret or private key belong together",
    -1109: "the exchange does not find a futures account for this key: open one, or try again later on testnet",
    -2008: "the exchange does not know this API key: check for typing errors, and that the key is of this endpoint",
    -2014: "check the API key for missing or extra characters",
    -2015: (
        "check that futures are enabled for the key, that this machine's IP is on the key's list, and that the key "
        "is of this endpoint (mainnet and testnet have keys of their own; those of demo trading are of testnet); "
        "accounts in portfolio margin mode are refused here with any key"
    ),
    -2017: "API keys are locked on this account: unlock them on the exchange's site",
    -4109: "the futures account is inactive: put funds into it or activate it on the exchange's site",
    -4402: "the exchange refuses this account for regulatory reasons: ask its support",
    -5000: "the exchange no longer knows this method: look for a newer release of this exporter",
}
_ADVICE_BY_REASON: Final = {
    Reason.CONNECTION: "check the network, the proxy and that the endpoint's URL is right",
    Reason.TIMEOUT: "the exchange is slow or the network loses packets: try again later",
    Reason.REFUSED: "check the key, its permissions and its IP list on the exchange's site",
    Reason.CLOCK: _ADVICE_BY_CODE[-1021],
    Reason.RATE_LIMITED: (
        "this IP's request weight is used up: other programs share it; a longer interval or smaller weight_share helps"
    ),
    Reason.BANNED: "stop other programs on this IP from exceeding the limit, and wait until the ban is over",
    Reason.EXCHANGE: "the exchange reports trouble of its own: try again later",
    Reason.PROTOCOL: (
        "the exchange may be under maintenance: see its announcements; if its answers stay without a result and "
        "without an error, report it"
    ),
    Reason.DECODE: (
        "the exchange's answer is incomplete or contradicts itself: check the account on Binance's site, and look for "
        "a newer release of this exporter"
    ),
}


def advise(error: BinanceError) -> str:
    """Return what an operator can do about a failed request."""
    if isinstance(error, ExchangeError) and error.code in _ADVICE_BY_CODE:
        return _ADVICE_BY_CODE[error.code]
    if isinstance(error, NotConnected) and error.advice:
        return error.advice
    verdict = classify(error)
    if verdict.action is Action.BUG:
        return "the exchange does not take what this exporter asks: look for a newer release, or report it"
    return _ADVICE_BY_REASON[verdict.reason]


def advise_on_dial_failure(failure: DialFailure) -> str:
    """Return what an operator can do about a failed dial; empty if the general advice applies."""
    match failure:
        case DialFailure(advice=advice) if advice:
            return advice
        case DialFailure(status=403 | 451):
            return "the exchange refuses this IP or region: leave by an IP, or a proxy, that it takes"
        case DialFailure(status=404):
            return "check the endpoint's URL: there is no WebSocket API at its path"
        case DialFailure(status=int(status)) if status >= 500:
            return "the exchange reports trouble of its own: try again later"
        case DialFailure(reason=DisconnectReason.DNS):
            return (
                "check the endpoint's host name, and this host's network and name servers; "
                "with a socks5h:// proxy instead of socks5:// the proxy resolves the name"
            )
        case DialFailure(reason=DisconnectReason.TLS):
            return "check this host's clock and certificates, and whether a proxy on the way opens TLS"
        case _:
            return ""
