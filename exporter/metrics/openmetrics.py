"""The slow way: the same table through prometheus_client, for OpenMetrics and for name[] filters.

A scrape that accepts plain text and asks for everything never comes here.
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
    """Collects the accounts' figures.

    Args:
        fresh: gives the snapshots that may be shown now, by account.
    """

    def __init__(self, fresh: Callable[[], Mapping[str, AccountSnapshot]]) -> None:
        self._fresh = fresh

    def describe(self) -> Iterable[Metric]:
        """Yield the families without samples; without it a name[] filter would find nothing."""
        return self._families({})

    def frozen(self) -> SnapshotCollector:
        """Return a collector of the snapshots that may be shown now, for use in a thread."""
        snapshots = dict(self._fresh())
        return SnapshotCollector(lambda: snapshots)

    def collect(self) -> Iterable[Metric]:
        """Yield the families of the catalog with the samples of all accounts, by name."""
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


class _Collected(Collector):
    """What another collector has collected, which does not change any more."""

    def __init__(self, collector: Collector) -> None:
        self._metrics = tuple(collector.collect())

    def collect(self) -> Iterable[Metric]:
        return self._metrics


class OpenMetricsExposition:
    """Text or OpenMetrics of all collectors, or of the families that are named.

    Args:
        collectors: what is shown, in this order.
    """

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._collectors = tuple(collectors)
        self._turn = asyncio.Semaphore(1)

    async def render(self, accept: str, names: Sequence[str]) -> tuple[bytes, str]:
        """Return the body and its content type, encoded in a thread; one after the other, since it takes much memory.

        Args:
            accept: the client's Accept header.
            names: sample names to be shown; empty for all.
        """
        await self._turn.acquire()
        # The turn lasts as long as the thread, which goes on when the client has gone.
        rendering = asyncio.create_task(self._render(accept, names), name="rendering")
        rendering.add_done_callback(lambda _: self._turn.release())
        return await asyncio.shield(rendering)

    async def _render(self, accept: str, names: Sequence[str]) -> tuple[bytes, str]:
        return await run_in_thread_or_loop(self.picture(accept, names))

    def picture(self, accept: str, names: Sequence[str]) -> Callable[[], tuple[bytes, str]]:
        """Return what encodes the state of this moment, in any thread; the arguments are those of `render`.

        Only the event loop changes the state, so that it must be taken there.
        """
        registry = CollectorRegistry(auto_describe=True)
        for one in self._collectors:
            registry.register(one.frozen() if isinstance(one, SnapshotCollector) else _Collected(one))
        chosen: Collector = registry.restricted_registry(names) if names else registry

        def encode() -> tuple[bytes, str]:
            if only_openmetrics(accept):
                encoder, content_type = choose_encoder(accept)
                return encoder(chosen), content_type
            return generate_latest(chosen), CONTENT_TYPE_PLAIN_0_0_4

        return encode


def only_openmetrics(accept: str) -> bool:
    """Whether a client accepts OpenMetrics and no plain text."""
    offers = {_media_type(offer) for offer in accept.split(",")}
    return "application/openmetrics-text" in offers and offers.isdisjoint({"text/plain", "text/*", "*/*"})


def _media_type(offer: str) -> str:
    kind, *parameters = (part.strip().lower() for part in offer.split(";"))
    # "q=0" in any of its spellings refuses what it stands beside.
    refused = any(re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) for parameter in parameters)
    return "" if refused else kind
