"""An exporter whose configuration file a test changes and reloads."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self

import yaml

from exporter.app.service import Service, WebSettings
from exporter.config import exporter_yml
from exporter.simulator.demo import write_configuration
from exporter.web.config import WebConfig
from exporter.web.listen_address import ListenAddress
from support.polling import FAST
from support.service import Samples, running, until_sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import httpx

    from exporter.simulator import SimulatedExchange

RELOAD_FAILED = "configuration reload failed, keeping the previous configuration"


class System:
    """An exporter and its configuration file, with a client while it runs."""

    def __init__(self, exchange: SimulatedExchange, directory: Path, rest_url: str | None = None) -> None:
        self.path = write_configuration(exchange.url, exchange.accounts.values(), directory, rest_url)
        self.edit(poll={"interval": "1s"})
        self.client: httpx.AsyncClient
        self.service: Service

    def edit(self, change: Callable[[dict[str, Any]], object] | None = None, /, **sections: Any) -> None:
        """Change the configuration file."""
        document = yaml.safe_load(self.path.read_text())
        document.update(sections)
        if change:
            change(document)
        self.path.write_text(yaml.safe_dump(document))

    def load(self) -> exporter_yml.Config:
        """Load the configuration file."""
        return exporter_yml.load(self.path, {})

    @contextlib.asynccontextmanager
    async def open(self, *, lifecycle: bool = False, web: WebConfig | None = None) -> AsyncIterator[Self]:
        """Run the exporter while the block runs."""
        addresses = (ListenAddress("127.0.0.1", 0),)
        settings = WebSettings(addresses=addresses, lifecycle=lifecycle, config=web or WebConfig())
        self.service = Service(self.load(), settings, FAST, self.load)
        async with running(self.service) as self.client:
            yield self

    async def shows(self, expected: float | None, name: str, **labels: str) -> Samples:
        """Wait until a series has a value (None: is absent); return that scrape."""
        return await until_sample(self.client, expected, name, **labels)


def only(name: str) -> Callable[[dict[str, Any]], None]:
    """Return a change that leaves one account in the document."""

    def change(document: dict[str, Any]) -> None:
        document["accounts"] = [account for account in document["accounts"] if account["name"] == name]

    return change
