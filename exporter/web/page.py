"""The status page at /: what is known of accounts and endpoints as HTML, by a pure function and one template.

It shows how the polling goes and never what an account is worth: no balance, no key and no URL comes near it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from exporter.binance.errors import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from exporter.account.state import AccountState, Failure
    from exporter.binance.connection import Connection

# Worst first: the order in which accounts are shown.
_STATES: Final = ("down", "stale", "failing", "waiting", "up")
_MARKS: Final = {"down": "✕", "stale": "■", "failing": "▲", "waiting": "○", "up": "●"}
_MODES: Final = {"single": "single-asset", "multi": "multi-assets"}
_KEY_TYPES: Final = {"hmac": "HMAC", "rsa": "RSA", "ed25519": "Ed25519"}
_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_PAUSES: Final = {Reason.BANNED: "the exchange has banned this IP", Reason.RATE_LIMITED: "the rate limit is reached"}

_TEMPLATE: Final = Environment(
    loader=PackageLoader("exporter.web"),
    autoescape=True,
    undefined=StrictUndefined,
    auto_reload=False,
    trim_blocks=True,
    lstrip_blocks=True,
).get_template("index.html")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """A row of the accounts' table, and below it why there is trouble, if there is."""

    name: str
    state: str
    mark: str
    remark: str
    age: str
    open_positions: int | None
    endpoint: str
    key_type: str
    asset_mode: str
    failure: Failure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Endpoint:
    """A row of the endpoints' table."""

    label: str
    connected: bool
    pause: str
    paused_until: str
    clock: str
    weight: str
    used: int | None
    limit: int | None

    @property
    def usable(self) -> bool:
        return self.connected and not self.pause


def render_page(
    states: Iterable[AccountState],
    connections: Iterable[Connection],
    now: float,
    telemetry_path: str,
    version: str,
) -> str:
    """Return the page.

    Args:
        states: the accounts, in the order of the configuration.
        connections: the endpoints' connections.
        now: the moment, in monotonic seconds.
        telemetry_path: where the metrics are.
        version: the exporter's.
    """
    accounts = [_account(state, now) for state in states]
    accounts.sort(key=lambda account: _STATES.index(account.state))
    endpoints = [_endpoint(connection) for connection in connections]
    endpoints.sort(key=lambda endpoint: endpoint.usable)
    return _TEMPLATE.render(
        accounts=accounts,
        summary=_summary(accounts),
        troubles=_troubles(accounts, endpoints),
        endpoints=endpoints,
        telemetry_path=telemetry_path,
        version=version,
    )


def in_words(seconds: float) -> str:
    """Say a duration in its two largest units, rounded down: "2 minutes 5 seconds", "3 days 1 hour"."""
    left = max(0, math.floor(seconds))
    words = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}{'' if count == 1 else 's'}")
        elif words:
            break  # "3 days 5 seconds" would claim a precision that nobody reads
    return " ".join(words[:2]) or "0 seconds"


def _account(state: AccountState, now: float) -> _Account:
    settings = state.settings
    word = _state_word(state, now)
    mode = state.asset_mode or settings.asset_mode
    return _Account(
        name=settings.name,
        state=word,
        mark=_MARKS[word],
        remark=_remark(word, state.stale_at - now),
        age="no data yet" if state.answered_at is None else in_words(now - state.answered_at),
        # As in the metrics: a figure that is stale is no longer told.
        open_positions=state.open_positions if state.fresh(now) else None,
        endpoint=settings.endpoint.label,
        key_type=_KEY_TYPES.get(settings.credentials.key_type, settings.credentials.key_type),
        asset_mode=_MODES[mode] if mode else "unknown",
        failure=None if word == "waiting" or state.last_poll_succeeded else state.last_failure,
    )


def _state_word(state: AccountState, now: float) -> str:
    if state.up(now):
        return "up"
    if not state.first_poll_over:
        return "waiting"
    if state.answered_at is None:
        return "down"
    return "failing" if state.fresh(now) else "stale"


def _remark(word: str, shown_for: float) -> str:
    match word:
        case "waiting":
            return "no poll has ended yet"
        case "down":
            return "no good answer yet"
        case "stale":
            return "figures withdrawn"
        case "failing":
            return f"figures shown for another {in_words(shown_for)}"
        case _:
            return ""


def _summary(accounts: Sequence[_Account]) -> str:
    up = sum(account.state == "up" for account in accounts)
    return f"{up:,} of {len(accounts):,} {'account' if len(accounts) == 1 else 'accounts'} up"


def _troubles(accounts: Sequence[_Account], endpoints: Sequence[_Endpoint]) -> list[tuple[str, str]]:
    """Say what is not well, each as a state and words: what stands far below must be seen at the top."""
    counts = Counter(account.state for account in accounts)
    troubles = [(word, f"{counts[word]:,} {word}") for word in _STATES if word != "up" and counts[word]]
    if unusable := sum(not endpoint.usable for endpoint in endpoints):
        noun = "endpoint" if len(endpoints) == 1 else "endpoints"
        troubles.append(("down", f"{unusable:,} of {len(endpoints):,} {noun} not connected or paused"))
    return troubles


def _endpoint(connection: Connection) -> _Endpoint:
    budget, clock = connection.budget, connection.clock
    paused, pause_seconds = budget.paused, budget.pause_seconds
    until = datetime.fromtimestamp(clock.seconds + pause_seconds, UTC)
    return _Endpoint(
        label=connection.endpoint.label,
        connected=connection.connected,
        pause=_PAUSES.get(paused, str(paused)) if paused else "",
        paused_until=f"{until:%Y-%m-%d %H:%M:%S} UTC, for another {in_words(pause_seconds)}",
        clock=_clock(clock.offset_seconds),
        weight=_weight(budget.used, budget.limit),
        used=budget.used,
        limit=budget.limit,
    )


def _weight(used: int | None, limit: int | None) -> str:
    if limit is None:
        return "unknown" if used is None else f"{used:,}, limit unknown"
    return f"{'unknown' if used is None else f'{used:,}'} of {limit:,}"


def _clock(offset_seconds: float | None) -> str:
    if offset_seconds is None:
        return "unknown"
    if abs(offset_seconds) < 0.001:
        return "exchange and host agree"
    return f"exchange {abs(offset_seconds):,.3f} s {'ahead' if offset_seconds > 0 else 'behind'}"
