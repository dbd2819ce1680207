"""Answers that speak for one asset mode or the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.polling import altered

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.polling import Answer

# Totals that are not the USDT row's own figures: by the rule the account is in multi-assets mode.
OTHER_TOTALS = altered(lambda result: result.update(totalWalletBalance="1.0"))


def reporting(*, multi: bool) -> Callable[[Answer], Answer]:
    """Make v1 report a mode."""
    return altered(lambda result: result.update(multiAssetsMargin=multi))
