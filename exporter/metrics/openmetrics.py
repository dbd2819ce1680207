"""OpenMetrics and name[] filters: the same catalogs, rendered by prometheus_client, which is slow.

A scrape of all metrics by a client that accepts plain text does not use this module.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.registry import Collector

from exporter.metrics.catalog import GROUPS
from exporter.threads import run_in_thread_or_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exporter.account.snapshot import AccountSnapshot


class SnapshotCollector(Collector):
    """Collects the accounts' metrics.

    Args:
        fresh: returns the snapshots that may be shown now, by account name.
    """

    def __init__(self, fresh: Callable[[], Mapping[str, AccountSnapshot]]) -> None:
        self._fresh = fresh

    def describe(self) -> Iterable[Metric]:
        """Yield the families without samples; a name[] filter finds families only by this."""
        return self._families({})

    def frozen_copy(self) -> SnapshotCollector:
        """Return a collector of the current snapshots, for use in a thread."""
        snapshots = dict(self._fresh())
        return SnapshotCollector(lambda: snapshots)

    def collect(self) -> Iterable[Metric]:
        """Yield the families of the catalog with the samples of all accounts, sorted by account name."""
        return self._families(self._fresh())

    def _families(self, snapshots: Mapping[str, AccountSnapshot]) -> Iterable[Metric]:
        for group in GROUPS:
            for family in group.families:
                metric = Metric(family.name, family.help, family.kind)
                for account in sorted(snapshots):
                    snapshot = snapshots[account]
                    rows = list(group.rows(snapshot))
                    for row, identity in zip(rows, group.identify(snapshot, rows), strict=True):
                        value = family.read(row)
                        if value is not None:
                            labels = dict(zip(group.labels, identity, strict=True))
                            metric.add_sample(family.name, {"account": account, **labels}, value)
                yield metric


class _CollectedMetrics(Collector):
    """The metrics that another collector returned at one moment."""

    def __init__(self, collector: Collector) -> None:
        self._metrics = tuple(collector.collect())

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class OpenMetricsExposition:
    """Renders all collectors, or the named families, as text or OpenMetrics.

    Args:
        collectors: what to render, in this order.
    """

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = tuple(collectors)
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
        for collector in self._collectors:
            registry.register(
                collector.frozen_copy() if isinstance(collector, SnapshotCollector) else _CollectedMetrics(collector)
            )
        selected: Collector = registry.restricted_registry(names) if names else registry

        def encode() -> tuple[bytes, str]:
            if only_openmetrics(accept):
                encoder, content_type = choose_encoder(accept)
                return encoder(selected), content_type
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
