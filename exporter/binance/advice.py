"""What an operator can do about a failed request or a failed dial, as phrases without a full stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exporter.binance.disconnects import DialFailure
from exporter.binance.errors import Action, DisconnectReason, ExchangeError, NotConnected, Reason, classify

if TYPE_CHECKING:
    from exporter.binance.errors import BinanceError

WRONG_CLOCK_ADVICE: Final = (
    "synchronize this host's clock (NTP): the exchange rejects requests of programs that do not correct for it"
)
_ADVICE_BY_CODE: Final[dict[int, str]] = {
    -1002: "the API key lacks permission to read this account: check its permissions",
    -1011: "this IP is not allowed to use the API: check the key's IP list and the exchange's regional restrictions",
    -1021: "synchronize this host's clock (NTP), and check that network delays are well below recv_window",
    -1022: (
        "check that the secret or private key belongs to this API key, and that it is neither quoted nor "
        "encoded again, for example as base64"
    ),
    -1099: "check that the API key and its secret or private key belong together",
    -1109: "the exchange finds no futures account for this key: open one; on testnet, try again later",
    -2008: "unknown API key: check for typing errors, and that the key belongs to this endpoint",
    -2014: "check the API key for missing or extra characters",
    -2015: (
        "check that futures are enabled for the key, that this host's IP is on the key's IP list, and that the key "
        "belongs to this endpoint (mainnet and testnet have separate keys; demo trading uses testnet); "
        "accounts in portfolio margin mode are rejected with any key"
    ),
    -2017: "API keys are locked for this account: unlock them on Binance's website",
    -4109: "the futures account is inactive: deposit funds or activate it on Binance's website",
    -4402: "the exchange blocks this account for regulatory reasons: contact its support",
    -5000: "the exchange no longer supports this method: check for a newer release of this exporter",
}
_EXCHANGE_ADVICE: Final = "the exchange reports an internal error: try again later"
_ADVICE_BY_REASON: Final = {
    Reason.CONNECTION: "check the network, the proxy and the endpoint's URL",
    Reason.TIMEOUT: "the exchange is slow or the network loses packets: try again later",
    Reason.REFUSED: "check the API key, its permissions and its IP list on Binance's website",
    Reason.CLOCK: _ADVICE_BY_CODE[-1021],
    Reason.RATE_LIMITED: (
        "the request weight of this IP is used up, perhaps by other programs: increase the poll interval or lower "
        "weight_share"
    ),
    Reason.BANNED: "stop other programs on this IP from exceeding the limit, and wait for the ban to end",
    Reason.EXCHANGE: _EXCHANGE_ADVICE,
    Reason.PROTOCOL: (
        "the exchange may be under maintenance: check its announcements; if responses keep containing neither a "
        "result nor an error, please report it"
    ),
    Reason.DECODE: (
        "the exchange's response is incomplete or inconsistent: check the account on Binance's website, and check for "
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
        return "the exchange rejects this exporter's request as invalid: check for a newer release, or report it"
    return _ADVICE_BY_REASON[verdict.reason]


def advise_on_dial_failure(failure: DialFailure) -> str:
    """Return what an operator can do about a failed dial; empty if the general advice applies."""
    match failure:
        case DialFailure(advice=advice) if advice:
            return advice
        case DialFailure(status=403 | 451):
            return "the exchange blocks this IP or region: connect from an IP, or through a proxy, that it allows"
        case DialFailure(status=404):
            return "check the endpoint's URL: its path does not lead to a WebSocket API"
        case DialFailure(status=int(status)) if status >= 500:
            return _EXCHANGE_ADVICE
        case DialFailure(reason=DisconnectReason.DNS):
            return (
                "check the endpoint's host name, and this host's network and DNS servers; "
                "with socks5h:// instead of socks5:// the proxy resolves the name"
            )
        case DialFailure(reason=DisconnectReason.TLS):
            return "check this host's clock and CA certificates, and whether a proxy intercepts TLS"
        case _:
            return ""
