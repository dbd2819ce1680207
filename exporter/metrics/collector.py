"""The slow way: the same table through prometheus_client, for OpenMetrics and for name[] filters.

A scrape that accepts plain text and asks for everything never comes here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder
from prometheus_client.registry import Collector

from exporter.metrics.catalog import GROUPS

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


class SlowWay:
    """Text or OpenMetrics of all collectors, or of the families that are named.

    Args:
        collectors: what is shown, in this order.
    """

    def __init__(self, collectors: Iterable[Collector]) -> None:
        self._registry = CollectorRegistry(auto_describe=True)  # prometheus_client's own collectors have no describe()
        for collector in collectors:
            self._registry.register(collector)

    def render(self, accept: str, names: Sequence[str]) -> tuple[bytes, str]:
        """Return the body and its content type.

        Args:
            accept: the client's Accept header.
            names: sample names to be shown; empty for all.
        """
        registry: Collector = self._registry.restricted_registry(names) if names else self._registry
        if only_openmetrics(accept):
            encode, content_type = choose_encoder(accept)
            return encode(registry), content_type
        return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4


def only_openmetrics(accept: str) -> bool:
    """Whether a client accepts OpenMetrics and no plain text."""
    offers = {_media_type(offer) for offer in accept.split(",")}
    return "application/openmetrics-text" in offers and offers.isdisjoint({"text/plain", "text/*", "*/*"})


def _media_type(offer: str) -> str:
    kind, *parameters = (part.strip().lower() for part in offer.split(";"))
    # "q=0" in any of its spellings refuses what it stands beside.
    refused = any(re.fullmatch(r"q\s*=\s*0(\.0*)?", parameter) for parameter in parameters)
    return "" if refused else kind
