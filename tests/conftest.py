"""Isolation of the tests from each other and from the environment, and shared fixtures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from coverage import Coverage
from hypothesis import HealthCheck, settings
from support.polling import traders
from support.virtual_time import VirtualTimeLoop, now

from exporter import log, redaction
from exporter.simulator import SimulatedExchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator


# The duration of an example depends on the machine more than on the program. Each run draws other examples; for many
# at once: pytest --hypothesis-profile=thorough.
settings.register_profile("any machine", deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("any machine"), max_examples=1000)
settings.load_profile("any machine")


def pytest_asyncio_loop_factories(item: pytest.Function) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run a test that requests virtual time in a loop that has it."""
    return {"loop": VirtualTimeLoop if "virtual_time" in item.fixturenames else asyncio.new_event_loop}


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide the environment's variables from a test, and restore the state of the process after it."""
    for name in os.environ:
        if name.startswith("BINANCE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("_hidden_pieces", "_hidden_texts"):
        monkeypatch.setattr(redaction, name, set())
    for module, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    loggers = [logging.getLogger(name) for name in (None, "websockets")]
    levels = [(logger, logger.level, logger.disabled) for logger in loggers]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    # A shell's background jobs ignore SIGINT, and nohup's SIGHUP.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    logging.captureWarnings(capture=False)
    for logger, level, disabled in levels:
        logger.setLevel(level)
        logger.disabled = disabled
        logger.handlers[:] = [handler for handler in logger.handlers if not isinstance(handler, log._Handler)]
    structlog.reset_defaults()


@pytest.fixture
def virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test, its exchange and the exporter in virtual time, with the same jitter each time."""
    random.seed(1)
    clock = SimpleNamespace(clock_gettime=lambda _: asyncio.get_running_loop().time())
    monkeypatch.setattr("exporter.binance.clock.time", clock)


@pytest.fixture
async def exchange(request: pytest.FixtureRequest) -> AsyncIterator[SimulatedExchange]:
    """A simulated exchange with two accounts, alice (HMAC) and bob (Ed25519), long one BTCUSDT each."""
    clock = now if "virtual_time" in request.fixturenames else time.time
    async with SimulatedExchange(traders(), clock=clock) as running:
        for name in ("alice", "bob"):
            running.account(name).open("BTCUSDT", "0.1", leverage=20)
        yield running


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """Every event that is logged during the test, as data."""
    with structlog.testing.capture_logs() as events:
        yield events


@contextlib.contextmanager
def _unmeasured() -> Iterator[None]:
    coverage = Coverage.current()
    if coverage is None:
        yield
        return
    coverage.stop()
    try:
        yield
    finally:
        coverage.start()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without measuring coverage, which would double the time."""
    with _unmeasured():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Run a test marked with `no_cover`, and its fixtures, without measuring coverage."""
    with _unmeasured() if item.get_closest_marker("no_cover") else contextlib.nullcontext():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the tests that mostly wait, so that others run meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("waits") is None)
