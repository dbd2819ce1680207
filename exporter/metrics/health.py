"""The exporter's own metrics: a prometheus_client collector over the catalog's own families."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from exporter.binance.durations import BOUNDS_SECONDS
from exporter.metrics.own import OF_ACCOUNT, OF_ENDPOINT, OF_PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exporter.account.state import AccountState
    from exporter.binance.connection import Connection
    from exporter.binance.durations import Durations
    from exporter.metrics.family import OwnFamily, Program


class Health(Collector):
    """Collects what is known of the accounts' polling, of the connections and of the program.

    Args:
        program: the process, and its connections.
        states: gives the accounts' states, in the order in which they are shown.
        monotonic: the clock that decides what is stale.
        process_metrics: whether to add prometheus_client's process, platform and garbage collector metrics.
    """

    def __init__(
        self,
        program: Program,
        states: Callable[[], Iterable[AccountState]],
        monotonic: Callable[[], float],
        *,
        process_metrics: bool = True,
    ) -> None:
        self._program = program
        self._states = states
        self._monotonic = monotonic
        self.collectors: list[Collector] = [self]
        if process_metrics:
            # Each wants a registry to join; the one they are wanted in also has other collectors.
            for collector in (ProcessCollector, PlatformCollector, GCCollector):
                self.collectors.append(collector(registry=CollectorRegistry()))
        self._registry = CollectorRegistry()
        for one in self.collectors:
            self._registry.register(one)

    def render(self) -> bytes:
        """Return the text of all own families."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Yield the families without samples; without it a name[] filter would find nothing."""
        for family in (*OF_ACCOUNT, *OF_ENDPOINT, *OF_PROGRAM):
            yield self._family(family, ())

    def collect(self) -> Iterable[Metric]:
        """Yield the own families of the catalog, in its order."""
        accounts = [({"account": state.settings.name}, state) for state in self._states()]
        endpoints = [({"endpoint": connection.endpoint.label}, connection) for connection in self._program.connections]
        for families, subjects in (
            (OF_ACCOUNT, accounts),
            (OF_ENDPOINT, endpoints),
            (OF_PROGRAM, [({}, self._program)]),
        ):
            for family in families:
                yield self._family(family, subjects)

    def _family(
        self, family: OwnFamily, subjects: Sequence[tuple[Mapping[str, str], AccountState | Connection | Program]]
    ) -> Metric:
        now = self._monotonic()
        if family.kind == "histogram":
            histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
            for _, subject in subjects:
                for values, durations in family.read(subject, now):
                    histogram.add_metric(values, _buckets(durations), durations.sum_seconds)
            return histogram
        metric = Metric(family.name.removesuffix("_total"), family.help, family.kind)
        for identity, subject in subjects:
            for values, value in family.read(subject, now):
                labels = {**identity, **dict(zip(family.labels, values, strict=True))}
                metric.add_sample(family.name, labels, value)
        return metric


def _buckets(durations: Durations) -> list[tuple[str, float]]:
    """Return the cumulative buckets of a histogram, the last one +Inf."""
    total = 0
    buckets = []
    for bound, count in zip((*BOUNDS_SECONDS, math.inf), durations.counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == math.inf else repr(bound), float(total)))
    return buckets
