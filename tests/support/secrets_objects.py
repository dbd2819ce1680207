"""All objects of a running exporter, found by following attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.app.service import Service, WebSettings
from exporter.config import exporter_yml
from support.secrets_search import Search
from support.secrets_system import PROXY_PASSWORD, PROXY_USER, Recorder, SecretsSetup, funded_account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def exporter_objects(folder: Path) -> tuple[list[object], Search]:
    """Return the objects of this project's own types that a configuration and a service hold, and their secrets."""
    setup = SecretsSetup()
    async with Recorder(*(funded_account(kind, kind) for kind in ("HMAC", "Ed25519", "RSA"))) as exchange:
        setup.exchanges.append(exchange)
        for account in exchange.accounts.values():
            setup.add(exchange, account, proxy=f"http://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:9")
        loaded = exporter_yml.load(setup.write(folder / "all"), {})
        service = Service(loaded, WebSettings())
    objects: dict[int, object] = {}
    waiting: list[object] = [loaded, service]
    while waiting:
        item = waiting.pop()
        if id(item) not in objects and not isinstance(item, type):
            objects[id(item)] = item
            waiting += _referenced_by(item)
    return [item for item in objects.values() if _is_own(item)], Search(setup.all_secrets())


def _referenced_by(item: object) -> Iterator[object]:
    if isinstance(item, dict):
        yield from (*item.keys(), *item.values())
    elif isinstance(item, (list, tuple, set, frozenset)):
        yield from item
    elif _is_own(item):
        slots = [name for cls in type(item).__mro__ for name in getattr(cls, "__slots__", ())]
        yield from (getattr(item, name) for name in slots if hasattr(item, name))
        yield from getattr(item, "__dict__", {}).values()


def _is_own(item: object) -> bool:
    return type(item).__module__.startswith("exporter")
