"""The usual exporter's last step: Gauge.labels().set() for each figure of an answer, the same families as ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bench.peer import About


class Gauges:
    """One Gauge for each figure, found by its name in Binance's answer.

    Args:
        about: tells the families of account, account without currency, asset and position.
        clears: whether the series of positions that may have been closed are dropped at each poll.
        name: makes of Binance's name of a figure the one by which a row gives it.
        read: gives a row's figure of that name, None where there is none.
    """

    def __init__(
        self,
        about: About,
        *,
        clears: bool = False,
        name: Callable[[str], str] = str,
        read: Callable[[Any, str], Any] = dict.get,
    ) -> None:
        self._registry = CollectorRegistry()
        self._clears = clears
        self._read = read
        self._asset, self._symbol, self._side, self._amount = map(
            name, ("asset", "symbol", "positionSide", "positionAmt")
        )
        self._account, [(_, self._open)], self._assets, self._positions = (
            [
                (name(each["field"]), Gauge(each["name"], each["help"], each["labels"], registry=self._registry))
                for each in group
            ]
            for group in about["families"]
        )

    def set(self, status: Any, assets: Iterable[Any], positions: Iterable[Any]) -> None:
        """Set every figure of an answer, of which the rows come apart."""
        read = self._read
        if self._clears:
            for _, gauge in self._positions:
                gauge.clear()
        self._set(self._account, status, {"account": "one", "currency": "USDT"})
        held = 0
        for row in assets:
            self._set(self._assets, row, {"account": "one", "asset": read(row, self._asset)})
        for row in positions:
            held += float(read(row, self._amount)) != 0
            labels = {"account": "one", "symbol": read(row, self._symbol), "position_side": read(row, self._side)}
            self._set(self._positions, row, labels)
        self._open.labels(account="one").set(held)

    def text(self) -> bytes:
        """Return what would be scraped."""
        return generate_latest(self._registry)

    def _set(self, family: list[tuple[str, Gauge]], row: Any, labels: Mapping[str, str]) -> None:
        for name, gauge in family:
            value = self._read(row, name)
            if value is not None:
                gauge.labels(**labels).set(float(value))
