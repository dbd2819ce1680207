"""What is switched on at the moment, each for one method and account or for all of them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Toggles(Generic[_Value]):
    """Values that are on until their stack is closed, in whatever order that happens."""

    def __init__(self) -> None:
        self._on: list[tuple[_Value, str | None, str | None]] = []

    def switch_on(self, value: _Value, method: str | None = None, account: str | None = None) -> ExitStack:
        """Switch a value on, for one method or all (None), and for one account or all, and return what undoes it."""
        entry = (value, method, account)
        self._on.append(entry)
        undo = ExitStack()
        undo.callback(self._on.remove, entry)
        return undo

    def of(self, method: str | None = None, account: str | None = None) -> list[_Value]:
        """List the values that hold for a request, the oldest first."""
        return [
            value
            for value, wanted, owner in self._on
            if (wanted is None or wanted == method) and (owner is None or owner == account)
        ]

    def last(self, default: _Value, method: str | None = None, account: str | None = None) -> _Value:
        """Tell the value that was switched on last of those that hold for a request."""
        return [default, *self.of(method, account)][-1]
