"""What is requested for each account: a method, its decoder, how often, and whether polls can do without it.

A query without an interval is sent with every poll. Slower ones run in parallel with the polls (`BackgroundQuery`). The
last result of every query but the first two is a reading of the snapshot. To request another method, add a query.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from exporter.binance.configuration import decode_account_configuration
from exporter.binance.messages import WEIGHT, Method, decode_account_status, decode_position_risk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from msgspec import Raw

    from exporter.account.state import AccountSettings
    from exporter.binance.configuration import AccountConfiguration
    from exporter.binance.request_sender import Response
    from exporter.binance.rows import AccountStatus, PositionRisk

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Query(Generic[_Result]):
    """A request that is repeated for every account.

    Args:
        method: what is requested.
        decode: decodes the result; raises DecodeError.
        interval_seconds: how often it is sent; None: with every poll.
        stale_after_seconds: the age from which a result is not shown, also while the polls succeed.
        without: what is missing if the exchange does not offer the method, for the log; empty: polls fail without it.
        is_enabled: whether an account needs it.
        is_shown: whether an account's snapshots contain the result.
    """

    method: Method
    decode: Callable[[Raw], _Result]
    interval_seconds: float | None = None
    stale_after_seconds: float = math.inf
    without: str = ""
    is_enabled: Callable[[AccountSettings], bool] = lambda _: True
    is_shown: Callable[[AccountSettings], bool] = lambda _: True

    @property
    def weight(self) -> int:
        """The request weight of one request."""
        return WEIGHT[self.method]


@dataclass(frozen=True, slots=True)
class Reading(Generic[_Result]):
    """The decoded result of a query, and when it was requested and received.

    `asked_at` and `answered_at` are in seconds of `HostClock.data_time`, `answered_unix` is by this host's clock.
    """

    result: _Result
    asked_at: float
    answered_at: float
    answered_unix: float


def read(query: Query[_Result], response: Response) -> Reading[_Result]:
    """Decode the response to a query.

    Raises:
        DecodeError: a required field is missing, or a value has the wrong type.
    """
    return Reading(query.decode(response.result), response.asked_at, response.answered_at, time.time())


STATUS: Final[Query[AccountStatus]] = Query(method=Method.ACCOUNT_STATUS, decode=decode_account_status)
POSITION_RISK: Final[Query[tuple[PositionRisk, ...]]] = Query(
    method=Method.ACCOUNT_POSITION,
    decode=decode_position_risk,
    without="position risk metrics",
    is_enabled=lambda settings: settings.position_risk,
)
CONFIGURATION: Final[Query[AccountConfiguration]] = Query(
    method=Method.ACCOUNT_STATUS_V1,
    decode=decode_account_configuration,
    interval_seconds=3600.0,
    stale_after_seconds=2.5 * 3600,
    without="configuration metrics",
    is_enabled=lambda settings: settings.configuration or settings.asset_mode is None,
    is_shown=lambda settings: settings.configuration,
)

QUERIES: Final[tuple[Query[Any], ...]] = (STATUS, POSITION_RISK, CONFIGURATION)


def planned_requests(settings: AccountSettings, queries: Iterable[Query[Any]] = QUERIES) -> Iterator[tuple[int, float]]:
    """Yield the weight and the interval in seconds of each query of an account."""
    for query in queries:
        if query.is_enabled(settings):
            yield query.weight, query.interval_seconds or settings.interval_seconds
