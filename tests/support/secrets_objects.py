"""Everything that a running exporter is made of, found by following attributes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter import config
from exporter.app.service import Service, WebSettings
from support.secrets_search import Search
from support.secrets_system import PROXY_PASSWORD, PROXY_USER, Recorder, World, trader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def parts(folder: Path) -> tuple[list[object], Search]:
    """Return the objects of this project's own types that a configuration and a service hold, and their secrets."""
    made = World()
    async with Recorder(*(trader(kind, kind) for kind in ("HMAC", "Ed25519", "RSA"))) as exchange:
        made.exchanges.append(exchange)
        for account in exchange.accounts.values():
            made.add(exchange, account, proxy=f"http://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:9")
        loaded = config.load(made.write(folder / "all"), {})
        service = Service(loaded, WebSettings())
    found: dict[int, object] = {}
    waiting: list[object] = [loaded, service]
    while waiting:
        one = waiting.pop()
        if id(one) not in found and not isinstance(one, type):
            found[id(one)] = one
            waiting += _held_by(one)
    return [one for one in found.values() if _ours(one)], Search(made.all_secrets())


def _held_by(one: object) -> Iterator[object]:
    if isinstance(one, dict):
        yield from (*one.keys(), *one.values())
    elif isinstance(one, (list, tuple, set, frozenset)):
        yield from one
    elif _ours(one):
        slots = [name for each in type(one).__mro__ for name in getattr(each, "__slots__", ())]
        yield from (getattr(one, name) for name in slots if hasattr(one, name))
        yield from getattr(one, "__dict__", {}).values()


def _ours(one: object) -> bool:
    return type(one).__module__.startswith("exporter")
