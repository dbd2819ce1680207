"""A `sitecustomize.py` that makes the program raise exceptions with keys in them.

Signing requests and rendering the page always fail; the variable BROKEN selects how else.
"""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from typing import TYPE_CHECKING, NoReturn

from exporter.account.poller import Poller
from exporter.app.service import Service
from exporter.binance.signing import Credentials

if TYPE_CHECKING:
    from collections.abc import Mapping


def fail(credentials: Credentials) -> NoReturn:
    """Raise with the keys in a local variable and in the text."""
    local = {"apiKey": credentials.api_key.reveal(), "secret": credentials.identity.reveal()}
    raise RuntimeError(f"{local}")


class FailingDestructor:
    """Fails when it is destroyed."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    def __del__(self) -> None:
        fail(self.credentials)


async def fail_later(credentials: Credentials) -> None:
    """Fail in a task."""
    fail(credentials)


def fail_in_the_loop(credentials: Credentials) -> None:
    """Fail in a callback, in a task that is not awaited, and in a call of the loop's exception handler."""
    loop = asyncio.get_running_loop()
    loop.call_soon(fail, credentials)
    loop.create_task(fail_later(credentials))  # noqa: RUF006 - it is not awaited on purpose
    loop.call_exception_handler({"message": credentials.api_key.reveal(), "secret": credentials.identity.reveal()})


def sign(credentials: Credentials, _params: Mapping[str, str | int]) -> str:
    """Fail where a request is signed."""
    match os.environ["BROKEN"]:
        case "loop":
            fail_in_the_loop(credentials)
        case "warning":
            warnings.warn(f"{credentials.api_key.reveal()} is old", DeprecationWarning, stacklevel=1)
        case "thread":
            threading.Thread(target=fail, args=(credentials,)).start()
        case "destructor":
            FailingDestructor(credentials)
    fail(credentials)


def page(service: Service) -> str:
    """Fail while the page is rendered."""
    fail(service._fleet.states[0].settings.credentials)


async def run(poller: Poller) -> NoReturn:
    """Fail in the task of a poller."""
    fail(poller.state.settings.credentials)


for place, name, broken in ((Credentials, "sign", sign), (Service, "_page", page), (Poller, "run", run)):
    if name != "run" or os.environ["BROKEN"] == "supervisor":
        setattr(place, name, broken)
