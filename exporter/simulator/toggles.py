"""Values that are switched on at the moment, for one method and account or for all.

A method is one of the WebSocket API, or a path of REST, which begins with a slash.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final, Generic, TypeVar

REST: Final = "REST"
"""Stands for every path of REST, as None stands for every method of the WebSocket API."""

_Value = TypeVar("_Value")


class Toggles(Generic[_Value]):
    """Values that are on until their stacks are closed, in any order."""

    def __init__(self) -> None:
        self._on: list[tuple[_Value, str | None, str | None]] = []

    def switch_on(self, value: _Value, method: str | None = None, account: str | None = None) -> ExitStack:
        """Switch a value on for one method and account, or for all; closing the returned stack undoes it."""
        entry = (value, method, account)
        self._on.append(entry)
        undo = ExitStack()
        undo.callback(self._on.remove, entry)
        return undo

    def of(self, method: str | None = None, account: str | None = None) -> list[_Value]:
        """Return the values that apply to a request, the oldest first."""
        every = REST if method is not None and method.startswith("/") else None
        return [
            value
            for value, its_method, its_account in self._on
            if its_method in {every, method} and its_account in {None, account}
        ]

    def last(self, default: _Value, method: str | None = None, account: str | None = None) -> _Value:
        """Return the value that was switched on last of those that apply to a request, or the default."""
        return [default, *self.of(method, account)][-1]
