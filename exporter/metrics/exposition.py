"""The text of /metrics: fragments rendered when a snapshot is published, and put together when scraped.

The text has Prometheus' format 0.0.4, as written by prometheus_client. A scrape only puts rendered bytes together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.metrics.catalog import GROUPS
from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.text import render_header, render_labels, render_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# Parallel scrapes share a body for this long; only the process metrics may change within that time.
_MAX_SHARED_SECONDS: Final = 1.0

_HEADERS: Final = tuple(
    render_header(family.name, family.help, family.kind) for group in GROUPS for family in group.families
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """An account's lines, and what they were rendered from."""

    identities: list[list[tuple[str, ...]]]  # of each group's rows, in the catalog's order
    labels: list[list[bytes]]  # the same, rendered as label sets, each with the space that follows it
    columns: list[list[float | None]]  # the values of each family, row by row; None means no sample
    fragments: list[bytes]  # the lines of each family


@dataclass(frozen=True, slots=True)
class _Published:
    state: AccountState
    snapshot: AccountSnapshot
    rendered: Rendered


class Exposition:
    """Keeps the accounts' rendered lines, and makes the body of them.

    Args:
        render_self_metrics: renders the exporter's own families.
        monotonic: the clock that decides what is stale, in seconds (`HostClock.data_time`).
    """

    def __init__(self, render_self_metrics: Callable[[], bytes], monotonic: Callable[[], float]) -> None:
        self._render_self_metrics = render_self_metrics
        self._monotonic = monotonic
        self._published: dict[str, _Published] = {}
        self._body: ChunkedBody | None = None  # the current one, until something that it shows changes
        self._body_expires_at = float("-inf")

    def publish(self, state: AccountState, snapshot: AccountSnapshot) -> None:
        """Render an account's snapshot in place of its last one; it is shown while `state.is_fresh`."""
        name = state.settings.name
        previous = self._published.get(name)
        rendered = render(name, snapshot, previous.rendered if previous else None)
        self._published[name] = _Published(state, snapshot, rendered)
        self.invalidate()

    def remove(self, account: str) -> None:
        """Drop all series of an account."""
        self._published.pop(account, None)
        self.invalidate()

    def invalidate(self) -> None:
        """Discard the shared body, since something that it shows has changed."""
        self._body = None  # at once, since it keeps replaced fragments in memory

    def body(self) -> ChunkedBody:
        """Return the current text; parallel scrapes share the same object."""
        now = self._monotonic()
        if self._body is None or now >= self._body_expires_at:
            fresh = self._fresh(now)
            fragments: list[bytes] = []
            for index, header in enumerate(_HEADERS):
                fragments.append(header)
                fragments.extend(account.rendered.fragments[index] for account in fresh)
            fragments.append(self._render_self_metrics())
            self._body = ChunkedBody(fragments)
            self._body_expires_at = min(
                now + _MAX_SHARED_SECONDS, *(account.state.stale_at for account in fresh), math.inf
            )
        return self._body

    def snapshots(self) -> dict[str, AccountSnapshot]:
        """Return the snapshots that may be shown now, by account name."""
        return {published.state.settings.name: published.snapshot for published in self._fresh(self._monotonic())}

    def _fresh(self, now: float) -> list[_Published]:
        return [self._published[name] for name in sorted(self._published) if self._published[name].state.is_fresh(now)]


def render(account: str, snapshot: AccountSnapshot, previous: Rendered | None = None) -> Rendered:
    """Render all lines of an account, reusing what has not changed since `previous`, its last ones.

    Between polls most amounts, times and assets do not change. For 100 positions that have all moved and 20 assets,
    rendering everything takes 610 µs, reusing the label sets 310 µs, and also reusing families whose values are equal
    225 µs. (0.0 equals -0.0, whose sign does not matter.)
    """
    identities: list[list[tuple[str, ...]]] = []
    labels: list[list[bytes]] = []
    columns: list[list[float | None]] = []
    fragments: list[bytes] = []
    for index, group in enumerate(GROUPS):
        rows = list(group.rows(snapshot))
        identities.append(group.identify(snapshot, rows))
        same_rows = previous if previous and previous.identities[index] == identities[-1] else None
        label_sets = same_rows.labels[index] if same_rows else _label_sets(account, index, identities[-1], previous)
        labels.append(label_sets)
        for family in group.families:
            column = list(map(family.read, rows))
            column_index = len(columns)
            unchanged = same_rows is not None and same_rows.columns[column_index] == column
            fragments.append(
                same_rows.fragments[column_index]
                if same_rows and unchanged
                else render_lines(family.name, label_sets, column)
            )
            columns.append(column)
    return Rendered(identities, labels, columns, fragments)


def _label_sets(account: str, index: int, identities: list[tuple[str, ...]], previous: Rendered | None) -> list[bytes]:
    """Return the label sets of a group's rows, reusing those of previous rows."""
    names = ("account", *GROUPS[index].labels)
    label_sets = dict(zip(previous.identities[index], previous.labels[index], strict=True)) if previous else {}
    return [
        label_sets.get(identity) or f"{render_labels(names, (account, *identity))} ".encode() for identity in identities
    ]
