"""The types of the catalogs' entries: families of an account in groups, and the exporter's own families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.connection import Connection

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with a value for each row of its group; if `read` returns None there is no sample."""

    name: str
    description: str
    source: str
    read: Callable[[Any], float | None]
    kind: Kind = "gauge"

    @property
    def help(self) -> str:
        """The HELP text: the description and the source."""
        return f"{self.description} ({self.source})."


@dataclass(frozen=True, slots=True)
class Group:
    """Families with the same rows and labels; `identify` returns each row's values of `labels`, without `account`."""

    labels: tuple[str, ...]
    rows: Callable[[AccountSnapshot], Iterable[Any]]
    identify: Callable[[AccountSnapshot, Sequence[Any]], list[tuple[str, ...]]]
    families: tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class SelfFamily:
    """A metric of the exporter itself.

    `read` takes a subject (an account's state, a connection or the program) and the monotonic time. It returns for each
    series the values of `labels`, without the subject's own label, and the number (of a histogram: a Histogram).
    """

    name: str
    help: str
    read: Callable[[Any, float], Iterable[tuple[tuple[str, ...], Any]]]
    labels: tuple[str, ...] = ()
    kind: Kind = "gauge"


@dataclass(slots=True)
class Program:
    """The state of the process itself; the service writes it."""

    connections: Sequence[Connection] = ()
    last_reload_succeeded: bool = True
    last_reload_success_unix: float | None = None
