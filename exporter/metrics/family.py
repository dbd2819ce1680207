"""The types of catalog entries: families of accounts, in groups, and the exporter's own families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from exporter.account.snapshot import AccountSnapshot
    from exporter.binance.endpoint_state import EndpointState

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """A metric with one value per row of its group; there is no sample if `read` returns None."""

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
    """Families with the same rows and labels; `identify` returns the label values of each row, without `account`."""

    labels: tuple[str, ...]
    rows: Callable[[AccountSnapshot], Iterable[Any]]
    identify: Callable[[AccountSnapshot, Sequence[Any]], list[tuple[str, ...]]]
    families: tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class SelfFamily:
    """A metric of the exporter itself.

    `read` takes a subject (the state of an account or endpoint, or the program) and the monotonic time. It returns the
    label values, without the label of the subject, and the value of each series (a Histogram for histograms).
    """

    name: str
    help: str
    read: Callable[[Any, float], Iterable[tuple[tuple[str, ...], Any]]]
    labels: tuple[str, ...] = ()
    kind: Kind = "gauge"


@dataclass(slots=True)
class Program:
    """The state of the process itself; the service writes it."""

    endpoints: Callable[[], Sequence[EndpointState]] = tuple
    last_reload_succeeded: bool = True
    last_reload_success_unix: float | None = None
