"""OpenMetrics and name[] filters: the same samples, written by prometheus_client, which is slow.

A scrape of all metrics by a client that accepts plain text does not use this module.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from exporter.threads import run_in_thread_or_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from prometheus_client import Metric

    from exporter.metrics.model import Catalog, Kind
    from exporter.metrics.text import Rendered

    Shown = Sequence[tuple[Catalog, Sequence[Rendered]]]
    MetricFamily = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily | InfoMetricFamily

_FAMILY_TYPES: Final[dict[Kind, type[MetricFamily]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}


def process_registry() -> CollectorRegistry:
    """Return prometheus_client's own process, platform and garbage collector metrics."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


def metrics(shown: Shown) -> Iterator[Metric]:
    """Yield each family of the catalogs with the samples of all subjects."""
    for catalog, subjects in shown:
        for place, (index, group, family) in enumerate(catalog.entries()):
            names = catalog.label_names(group)
            metric = _FAMILY_TYPES[family.kind](family.base_name, family.help, labels=names)
            for subject in subjects:
                for identity, value in zip(subject.identities[index], subject.columns[place], strict=True):
                    if value is not None:
                        labels = catalog.labels(group, subject.subject_name, identity)
                        _add_samples(metric, [labels[name] for name in names], value)
            yield metric


def _add_samples(metric: MetricFamily, labels: Sequence[str], value: Any) -> None:
    match metric:
        case HistogramMetricFamily():
            *buckets, _, (_, _, total) = value  # as `histogram_samples` returns them
            metric.add_metric(labels, [(bucket["le"], count) for _, bucket, count in buckets], total)
        case InfoMetricFamily():
            metric.add_metric(labels, {})
        case _:
            metric.add_metric(labels, value)


class _ShownMetrics(Collector):
    """The metrics that an exposition showed at one moment."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    def describe(self) -> Iterable[Metric]:
        """Yield the families without samples; a name[] filter finds families only by this."""
        return metrics([(catalog, ()) for catalog, _ in self._shown])

    def collect(self) -> Iterable[Metric]:
        return metrics(self._shown)


class OpenMetricsExposition:
    """Renders everything, or the named families, as text or OpenMetrics.

    Args:
        shown: returns what is shown now, of each catalog (`Exposition.shown`).
        process: the metrics that follow, if any.
    """

    def __init__(self, shown: Callable[[], Shown], process: CollectorRegistry | None = None) -> None:
        self._shown = shown
        self._process = process
        self._lock = asyncio.Semaphore(1)

    async def render(self, accept: str, names: Sequence[str]) -> tuple[bytes, str]:
        """Return the body and its content type, rendered in a thread, one request at a time to limit memory use.

        Args:
            accept: the client's Accept header.
            names: the sample names to render; empty for all.
        """
        await self._lock.acquire()
        # The lock is held until the thread ends, which may be after the client has disconnected.
        rendering = asyncio.create_task(self._render(accept, names), name="rendering")
        rendering.add_done_callback(lambda _: self._lock.release())
        return await asyncio.shield(rendering)

    async def _render(self, accept: str, names: Sequence[str]) -> tuple[bytes, str]:
        return await run_in_thread_or_loop(self.prepare(accept, names))

    def prepare(self, accept: str, names: Sequence[str]) -> Callable[[], tuple[bytes, str]]:
        """Return a function that renders the current state in any thread; the arguments are those of `render`.

        Call it in the event loop, which is what changes the state.
        """
        registry = CollectorRegistry(auto_describe=True)
        registry.register(_ShownMetrics(self._shown()))
        if self._process:
            registry.register(self._process)
        selected: Collector = registry.restricted_registry(names) if names else registry

        def encode() -> tuple[bytes, str]:
            if only_openmetrics(accept):
                text: bytes = openmetrics.generate_latest(selected)  # type: ignore[no-untyped-call]
                return text, openmetrics.CONTENT_TYPE_LATEST
            return generate_latest(selected), CONTENT_TYPE_PLAIN_0_0_4

        return encode


def only_openmetrics(accept: str) -> bool:
    """Whether a client accepts OpenMetrics but not plain text."""
    offers = {_media_type(offer) for offer in accept.split(",")}
    return "application/openmetrics-text" in offers and offers.isdisjoint({"text/plain", "text/*", "*/*"})


def _media_type(offer: str) -> str:
    kind, *parameters = (part.strip().lower() for part in offer.split(";"))
    # "q=0", in any spelling, rejects the media type.
    refused = any(re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) for parameter in parameters)
    return "" if refused else kind
