"""What an entry of the catalog is: families of figures in groups, and families of the exporter itself."""

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
    """A metric whose value is read off one row of a snapshot; None is no sample."""

    name: str
    what: str
    source: str
    read: Callable[[Any], float | None]
    kind: Kind = "gauge"

    @property
    def help(self) -> str:
        """The HELP text: what it is, and where it comes from."""
        return f"{self.what} ({self.source})."


@dataclass(frozen=True, slots=True)
class Group:
    """Families with the same rows and labels; `identify` gives the rows' values of `labels`, `account` left out."""

    labels: tuple[str, ...]
    rows: Callable[[AccountSnapshot], Iterable[Any]]
    identify: Callable[[AccountSnapshot, Sequence[Any]], list[tuple[str, ...]]]
    families: tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class SelfFamily:
    """A metric of the exporter itself.

    `read` is called with a subject (an account's state, a connection or the program) and the monotonic time, and gives
    the values of `labels`, the subject's own left out, with the number (for a histogram: Histogram).
    """

    name: str
    help: str
    read: Callable[[Any, float], Iterable[tuple[tuple[str, ...], Any]]]
    labels: tuple[str, ...] = ()
    kind: Kind = "gauge"


@dataclass(slots=True)
class Program:
    """What is known of the process itself; the service writes it."""

    connections: Sequence[Connection] = ()
    last_reload_succeeded: bool = True
    last_reload_success_unix: float | None = None
