"""Scrapes over one connection, as Prometheus does it."""

from __future__ import annotations

import gzip
import http.client
import time
from typing import Final, NamedTuple, Self
from urllib.parse import urlsplit

# Prometheus would rather have OpenMetrics, which costs prometheus_client half as much again; ours is the same for both.
_ACCEPT: Final = "text/plain;version=0.0.4"
_PATIENCE_SECONDS: Final = 300.0


class Scrape(NamedTuple):
    """An answer as it came, and how long it took until it was there whole."""

    body: bytes
    zipped: bool
    seconds: float

    @property
    def text(self) -> str:
        """What Prometheus reads."""
        return (gzip.decompress(self.body) if self.zipped else self.body).decode()


def series_of(text: str) -> int:
    """Return how many series there are."""
    return sum(not line.startswith("#") for line in text.splitlines())


class Scraper:
    """A client of a server at `url`, for the time of a block; the connection stays."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self.address = address.netloc
        self._client = http.client.HTTPConnection(self.address, timeout=_PATIENCE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def scrape(self, encoding: str = "gzip") -> Scrape:
        """Scrape once; `encoding` is gzip or identity."""
        began = time.perf_counter()
        self._client.request("GET", "/metrics", headers={"Accept": _ACCEPT, "Accept-Encoding": encoding})
        answer = self._client.getresponse()
        body = answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(f"a scrape was answered with {answer.status}")
        return Scrape(body, answer.headers.get("Content-Encoding") == "gzip", time.perf_counter() - began)
