"""The requests that may be sent over REST, how they are signed, and how their responses are decoded; without I/O."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct, field

from exporter.binance.errors import DecodeError, ExchangeError
from exporter.binance.messages import decode, decode_or_none
from exporter.binance.rows import Figure, Identity, Milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class RestPath(StrEnum):
    """Every path that this program can request, all with GET: they only read."""

    PREMIUM_INDEX = "/fapi/v1/premiumIndex"
    FUNDING_INFO = "/fapi/v1/fundingInfo"
    ASSET_INDEX = "/fapi/v1/assetIndex"
    INCOME = "/fapi/v1/income"
    API_RESTRICTIONS = "/sapi/v1/account/apiRestrictions"

    @property
    def method_label(self) -> str:
        """The value of the `method` label."""
        return f"GET {self.value}"


ALL_SYMBOLS_WEIGHT: Final = 10  # of premiumIndex and assetIndex; 1 for a single symbol
DEFAULT_FUNDING_HOURS: Final = 8
MONEY_PERMISSIONS: Final = ("withdrawals", "internal_transfer", "universal_transfer")  # move money out of the account
TRADING_PERMISSIONS: Final = (
    "futures",
    "margin",
    "spot_and_margin_trading",
    "vanilla_options",
    "portfolio_margin_trading",
    "fix_api_trade",
)
REQUEST_WEIGHT_LIMIT: Final = 2400  # per minute; REST responses do not report it


@dataclass(frozen=True, slots=True)
class Funding:
    """The next funding of a symbol: the rate as it stands, and when it is settled, as a Unix timestamp."""

    rate: float
    next_unix: float


@dataclass(frozen=True, slots=True)
class KeyPermissions:
    """What an API key may do, by permission."""

    permissions: Mapping[str, bool]
    ip_restricted: bool  # whether it can only be used from certain IPs
    created_unix: float | None  # None if not reported

    def granted(self, names: Iterable[str]) -> list[str]:
        """Return those of the named permissions that the key has."""
        return [name for name in names if self.permissions.get(name)]


class _Premium(Struct, frozen=True):
    symbol: Identity
    rate: str | None = field(name="lastFundingRate", default=None)
    next_ms: Milliseconds | None = field(name="nextFundingTime", default=None)


class _FundingInfo(Struct, frozen=True):
    symbol: Identity
    hours: Annotated[int, Meta(ge=1, le=24 * 7)] = field(name="fundingIntervalHours")


class _AssetIndex(Struct, frozen=True):
    symbol: Identity
    index: Figure | None = None


_premium_decoder = msgspec.json.Decoder(_Premium | list[_Premium])
_funding_info_decoder = msgspec.json.Decoder(list[_FundingInfo])
_asset_index_decoder = msgspec.json.Decoder(list[_AssetIndex], strict=False)
_restrictions_decoder = msgspec.json.Decoder(dict[str, Raw])
_flag_decoder = msgspec.json.Decoder(bool)
_created_decoder = msgspec.json.Decoder(Milliseconds)


class _ErrorBody(Struct, frozen=True):
    code: Annotated[int, Meta(ge=-(10**9), le=10**9)] | None = None
    msg: str = ""


_error_decoder = msgspec.json.Decoder(_ErrorBody, strict=False)
_QUOTED_BODY: Final = 1024
_MAX_PERMISSIONS: Final = 64  # each is a series of each account
_REQUIRED_FLAGS: Final = (
    "ipRestrict",
    "enableReading",
    "enableWithdrawals",
    "enableInternalTransfer",
    "permitsUniversalTransfer",
)
_PERMISSION: Final = re.compile(r"(?:enable|permits)([A-Z][A-Za-z0-9]{0,63})")


def decode_premium_index(body: Raw) -> dict[str, Funding]:
    """Return the next funding by symbol; symbols without a valid rate, such as dated contracts, are left out.

    Raises:
        DecodeError: the response is something else, or no perpetual has a rate.
    """
    rows = decode(_premium_decoder, body, "response")
    rows = rows if isinstance(rows, list) else [rows]
    funding = {
        row.symbol: Funding(rate, row.next_ms / 1000)
        for row in rows
        if row.rate and row.next_ms and (rate := _number_or_none(row.rate)) is not None
    }
    if not funding and not (rows and all(is_dated(row.symbol) for row in rows)):
        raise DecodeError("response", "contains no funding rate")
    return funding


def decode_funding_info(body: Raw) -> dict[str, int]:
    """Return the hours between two fundings of the symbols whose interval is not the usual one.

    Raises:
        DecodeError: the response is something else, or empty: all intervals would be taken for the usual one.
    """
    hours = {row.symbol: row.hours for row in decode(_funding_info_decoder, body, "response")}
    if not hours:
        raise DecodeError("response", "is empty")
    return hours


def decode_asset_index(body: Raw) -> dict[str, float]:
    """Return the price of each asset in USD.

    Raises:
        DecodeError: the response is something else, or contains no price.
    """
    rows = decode(_asset_index_decoder, body, "response")
    prices = {
        row.symbol.removesuffix("USD"): row.index
        for row in rows
        if row.index and row.index > 0 and row.symbol.endswith("USD")
    }
    if not prices:
        raise DecodeError("response", "contains no price")
    return prices


def decode_api_restrictions(body: Raw) -> KeyPermissions:
    """Return what an API key may do: each flag that begins with enable or permits, also those added later.

    Raises:
        DecodeError: the response is something else, or lacks one of the flags that alerts use.
    """
    fields = decode(_restrictions_decoder, body, "response")
    for name in _REQUIRED_FLAGS:
        if decode_or_none(_flag_decoder, fields.get(name, Raw())) is None:
            raise DecodeError(f"response.{name}", "is missing or not a boolean")
    if len(fields) > _MAX_PERMISSIONS:
        raise DecodeError("response", f"has more than {_MAX_PERMISSIONS} fields")
    created_ms = decode_or_none(_created_decoder, fields.get("createTime", Raw()))
    permissions: dict[str, bool] = {}
    for name, value in fields.items():
        permission, flag = _PERMISSION.fullmatch(name), decode_or_none(_flag_decoder, value)
        if permission and flag is not None:
            snake_case = re.sub(r"(?<!^)(?=[A-Z])", "_", permission[1]).lower()
            permissions[snake_case] = flag or permissions.get(snake_case, False)
    ip_restricted = _flag_decoder.decode(fields["ipRestrict"])
    return KeyPermissions(permissions, ip_restricted, created_ms / 1000 if created_ms else None)


def decode_rest_error(status: int, body: bytes, retry_at_ms: int | None) -> ExchangeError:
    """Return the error of a response, which need not be JSON."""
    error = decode_or_none(_error_decoder, Raw(body[:_QUOTED_BODY])) or _ErrorBody()
    return ExchangeError(status, error.code, error.msg or f"HTTP status {status}", retry_at_ms=retry_at_ms)


def is_dated(symbol: str) -> bool:
    """Whether a symbol is a contract with a delivery date, which has no funding."""
    return "_" in symbol


def _number_or_none(text: str) -> float | None:
    try:
        return msgspec.convert(text, Figure, strict=False)
    except msgspec.ValidationError:
        return None
