"""The text of /metrics: fragments rendered when something has changed, and put together when scraped.

Accounts are rendered after each poll. A scrape renders the few lines of endpoints, the program and the process, and
what has changed of REST since the last scrape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.chunked_body import ChunkedBody
from exporter.metrics.income_catalog import INCOME
from exporter.metrics.rest_catalog import KEYS, MARKETS
from exporter.metrics.self_catalog import ENDPOINTS, POLLING, PROGRAM, Polling
from exporter.metrics.text import render, render_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState
    from exporter.metrics.model import Catalog
    from exporter.metrics.self_catalog import Program
    from exporter.metrics.text import Rendered

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# Parallel scrapes share a body for this long; only the process metrics may change within that time.
_MAX_SHARED_SECONDS: Final = 1.0

CATALOGS: Final = (ACCOUNTS, POLLING, ENDPOINTS, PROGRAM, MARKETS, KEYS, INCOME)
_HEADERS: Final = tuple(map(render_headers, CATALOGS))


@dataclass(frozen=True, slots=True)
class _Published:
    state: AccountState
    snapshot: AccountSnapshot
    rendered: Rendered


@dataclass(frozen=True, slots=True)
class _Polled:
    state: AccountState
    revision: int  # of the state when it was rendered
    up: bool | None
    rendered: Rendered


class Exposition:
    """Keeps what was rendered of accounts, endpoints and the program, and builds the body from it.

    Args:
        program: the state of the process and of the endpoints.
        states: returns the accounts' states, in the order of the output.
        monotonic: the clock that decides what is stale, in seconds (`HostClock.data_time`).
        render_process: renders the metrics that follow those of the catalogs.
    """

    def __init__(
        self,
        program: Program,
        states: Callable[[], Iterable[AccountState]],
        monotonic: Callable[[], float],
        render_process: Callable[[], bytes] = bytes,
    ) -> None:
        self._program = program
        self._states = states
        self._monotonic = monotonic
        self._render_process = render_process
        self._published: dict[str, _Published] = {}
        self._polled: dict[str, _Polled] = {}
        self._endpoints = _RenderedAll(ENDPOINTS, attrgetter("label"))
        self._markets = _RenderedAll(MARKETS, attrgetter("label"))
        self._keys = _RenderedAll(KEYS, attrgetter("account"))
        self._incomes = _RenderedAll(INCOME, attrgetter("account"))
        self._rendered_program: Rendered | None = None
        self._body: ChunkedBody | None = None  # the current one, until something that it shows changes
        self._body_expires_at = float("-inf")

    def publish(self, state: AccountState, snapshot: AccountSnapshot) -> None:
        """Render an account's snapshot in place of its last one; it is shown while `state.is_fresh`."""
        name = state.settings.name
        previous = self._published.get(name)
        rendered = render(ACCOUNTS, snapshot, name, previous.rendered if previous else None)
        self._published[name] = _Published(state, snapshot, rendered)
        self.invalidate()

    def poll_finished(self, state: AccountState) -> None:
        """Render the lines of an account's polling now, so that a scrape does not have to."""
        self._polled[state.settings.name] = self._polling(state, self._monotonic())
        self.invalidate()

    def remove(self, account: str) -> None:
        """Drop all series of an account's snapshot."""
        self._published.pop(account, None)
        self.invalidate()

    def invalidate(self) -> None:
        """Discard the shared body, since something that it shows has changed."""
        self._body = None  # at once, since it keeps replaced fragments in memory

    def body(self) -> ChunkedBody:
        """Return the current text; parallel scrapes share the same object."""
        now = self._monotonic()
        if self._body is None or now >= self._body_expires_at:
            fragments: list[bytes] = []
            for headers, (_, subjects) in zip(_HEADERS, self.shown(), strict=True):
                for index, header in enumerate(headers):
                    fragments.append(header)
                    fragments.extend(filter(None, [subject.fragments[index] for subject in subjects]))
            fragments.append(self._render_process())
            self._body = ChunkedBody(fragments)
            self._body_expires_at = min(
                now + _MAX_SHARED_SECONDS, *(account.state.stale_at for account in self._fresh(now)), math.inf
            )
        return self._body

    def shown(self) -> list[tuple[Catalog, Sequence[Rendered]]]:
        """Return what the body shows now: each catalog with what was rendered of its subjects, in order."""
        now = self._monotonic()
        # Rebuilt from the current subjects, so that nothing is kept of those that no longer exist.
        self._polled = {state.settings.name: self._polling(state, now) for state in self._states()}
        program = self._program
        self._rendered_program = render(PROGRAM, program, previous=self._rendered_program)
        subjects: tuple[Sequence[Rendered], ...] = (
            [account.rendered for account in self._fresh(now)],
            [polled.rendered for polled in self._polled.values()],
            self._endpoints.update(program.endpoints()),
            [self._rendered_program],
            self._markets.update(program.markets()),
            self._keys.update(program.api_keys()),
            self._incomes.update(program.incomes()),
        )
        return list(zip(CATALOGS, subjects, strict=True))

    def snapshots(self) -> dict[str, AccountSnapshot]:
        """Return the last snapshots by account name, also stale ones."""
        return {name: published.snapshot for name, published in self._published.items()}

    def snapshot(self, account: str) -> AccountSnapshot | None:
        """Return an account's snapshot if it may be shown now."""
        published = self._published.get(account)
        return published.snapshot if published and published.state.is_fresh(self._monotonic()) else None

    def _polling(self, state: AccountState, now: float) -> _Polled:
        """Return the lines of an account's polling, which change with each poll and when its data is stale."""
        name = state.settings.name
        cached = self._polled.get(name)
        up = state.is_up(now) if state.first_poll_finished else None
        if cached and cached.state is state and (cached.revision, cached.up) == (state.revision, up):
            return cached
        rendered = render(POLLING, Polling(state, up), name, cached.rendered if cached else None)
        return _Polled(state, state.revision, up, rendered)

    def _fresh(self, now: float) -> list[_Published]:
        return [self._published[name] for name in sorted(self._published) if self._published[name].state.is_fresh(now)]


class _RenderedAll:
    """What was rendered of all subjects of a catalog; a subject that has not changed is not rendered again."""

    def __init__(self, catalog: Catalog, name_of: Callable[[Any], str]) -> None:
        self._catalog = catalog
        self._name_of = name_of
        self._subjects: dict[str, tuple[object, Rendered]] = {}

    def update(self, subjects: Iterable[object]) -> list[Rendered]:
        """Return what is rendered of the current subjects, which must not be changed afterwards."""
        before, self._subjects = self._subjects, {}
        for subject in subjects:
            name = self._name_of(subject)
            subject_before, rendered = before.get(name, (None, None))
            if rendered is None or subject != subject_before:
                rendered = render(self._catalog, subject, name, rendered)
            self._subjects[name] = subject, rendered
        return [rendered for _, rendered in self._subjects.values()]
