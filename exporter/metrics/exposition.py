"""Snapshots -> text fragments when they arrive; fragments -> the /metrics body when it is asked for.

The text is Prometheus' format 0.0.4 as prometheus_client would write it. A scrape joins finished bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from exporter.metrics.catalog import GROUPS
from exporter.metrics.text import GO_EXPONENT, format_value, render_header, render_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.account.snapshot import AccountSnapshot
    from exporter.account.state import AccountState

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# Nothing that the body shows changes unnoticed within this time but the process' own figures.
_SHARED_SECONDS: Final = 1.0

_HEADERS: Final = tuple(
    render_header(family.name, family.help, family.kind) for group in GROUPS for family in group.families
)


@dataclass(frozen=True, slots=True)
class _Published:
    state: AccountState
    snapshot: AccountSnapshot
    fragments: tuple[bytes, ...]  # one for each family, in the catalog's order


class Exposition:
    """The accounts' rendered figures, and the body made of them.

    Args:
        own: renders the exporter's own families.
        monotonic: the clock that decides what is stale.
    """

    def __init__(self, own: Callable[[], bytes], monotonic: Callable[[], float]) -> None:
        self._own = own
        self._monotonic = monotonic
        self._published: dict[str, _Published] = {}
        self._body = b""
        self._body_until = float("-inf")

    def publish(self, state: AccountState, snapshot: AccountSnapshot) -> None:
        """Render an account's snapshot; it replaces the last one whole, and is shown while `state` says it is fresh."""
        self._published[state.settings.name] = _Published(state, snapshot, render(state.settings.name, snapshot))
        self.invalidate()

    def forget(self, account: str) -> None:
        """Show nothing of an account any more."""
        self._published.pop(account, None)
        self.invalidate()

    def invalidate(self) -> None:
        """Have the next scrape join a new body: something that it shows has changed."""
        self._body_until = float("-inf")

    def body(self) -> bytes:
        """Return the text of everything known now; equal objects are the same text, shared by parallel scrapes."""
        now = self._monotonic()
        if now >= self._body_until:
            fresh = self._fresh(now)
            pieces: list[bytes] = []
            for index, header in enumerate(_HEADERS):
                pieces.append(header)
                pieces.extend(account.fragments[index] for account in fresh)
            self._body = b"".join((*pieces, self._own()))
            self._body_until = min(now + _SHARED_SECONDS, *(account.state.stale_at for account in fresh), math.inf)
        return self._body

    def snapshots(self) -> dict[str, AccountSnapshot]:
        """Return the snapshots that may be shown now, by account."""
        return {one.state.settings.name: one.snapshot for one in self._fresh(self._monotonic())}

    def _fresh(self, now: float) -> list[_Published]:
        return [self._published[name] for name in sorted(self._published) if self._published[name].state.fresh(now)]


def render(account: str, snapshot: AccountSnapshot) -> tuple[bytes, ...]:
    """Return one text fragment for each family of the catalog, in its order, with all of the account's lines."""
    fragments: list[bytes] = []
    for group in GROUPS:
        names = ("account", *group.labels)
        rows = [(row, render_labels(names, (account, *group.identify(snapshot, row)))) for row in group.rows(snapshot)]
        for family in group.families:
            name, read = family.name, family.read
            # Most numbers are below a million, where repr writes what Go would; asking here and not in a function
            # saves a fifth of the whole rendering.
            lines = [
                f"{name}{labels} {value!r}\n" if value < GO_EXPONENT else f"{name}{labels} {format_value(value)}\n"
                for row, labels in rows
                if (value := read(row)) is not None
            ]
            fragments.append("".join(lines).encode())
    return tuple(fragments)
