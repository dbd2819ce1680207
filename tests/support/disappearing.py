"""The series of an account at risk, and the ways in which they disappear, in promtool's notation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# In samples, four per minute: series disappear after ten minutes, for twenty minutes.
GONE: Final = 40
END: Final = 120
ACCOUNT: Final = 'account="main"'
POSITION: Final = f'{ACCOUNT},symbol="BTCUSDT",position_side="BOTH"'
INFO: Final = f'binance_futures_account_info{{{ACCOUNT},asset_mode="single",endpoint="mainnet",key_type="hmac"}}'
UP: Final = f"binance_futures_up{{{ACCOUNT}}}"
OPEN: Final = f"binance_futures_account_open_positions{{{ACCOUNT}}}"
RATIO: Final = f'binance_futures_cross_margin_ratio{{{ACCOUNT},margin_asset="USDT"}}'
RATIO_USD: Final = f'binance_futures_cross_margin_ratio{{{ACCOUNT},margin_asset="USD"}}'
MISSING: Final = f"binance_futures_position_risk_missing{{{ACCOUNT}}}"
AMOUNT: Final = f"binance_futures_position_amount{{{POSITION}}}"
MARGIN: Final = f'binance_futures_position_info{{{POSITION},margin_asset="USDT",margin_type="cross"}}'
MARK: Final = f"binance_futures_position_mark_price{{{POSITION}}}"
ENTRY: Final = f"binance_futures_position_entry_price{{{POSITION}}}"
LIQUIDATION: Final = f"binance_futures_position_liquidation_price{{{POSITION}}}"
PRICES: Final = (MARK, ENTRY, LIQUIDATION)
STATUS_SERIES: Final = (OPEN, RATIO, AMOUNT, MARGIN)
DATA: Final = (*STATUS_SERIES, *PRICES, MISSING)
Series = dict[str, str]

# The series that put an account at risk, by severity: a margin ratio, or a distance to liquidation.
RISKS: Final[dict[tuple[str, str], Series]] = {
    ("critical", "ratio"): {RATIO: "0.9"},
    ("warning", "ratio"): {RATIO: "0.75"},
    ("critical", "distance"): {LIQUIDATION: "99000"},
    ("warning", "distance"): {LIQUIDATION: "97000"},
}


def account(values: Series) -> Series:
    """Return the series of an account that is polled until the end, with one position; `values` replace some."""
    normal = {
        "up{}": "1",
        UP: "1",
        INFO: "1",
        OPEN: "1",
        RATIO: "0.2",
        MISSING: "0",
        AMOUNT: "0.1",
        MARGIN: "1",
        MARK: "100000",
        ENTRY: "100000",
        LIQUIDATION: "80000",
    }
    return {name: f"{value}x{END}" for name, value in {**normal, **values}.items()}


def ending(series: Series, names: tuple[str, ...], at: int = GONE, then: str = "") -> Series:
    """Return series of which some have no samples after `at`, or those of `then`."""
    cut = {name: f"{series[name].split('x')[0]}x{at - 1} {then or 'stale'}" for name in names}
    return {**series, **cut}


def failing(series: Series, data_until: int) -> Series:
    """Return series of an account whose polls fail, and whose data are shown for a while."""
    return ending(ending(series, (UP,), then=f"0x{END}"), DATA, data_until)


def rows_missing(series: Series) -> Series:
    """Return series without prices; the first missing response may be a race, the second is counted."""
    return ending(ending(series, PRICES), (MISSING,), GONE + 1, f"1x{END}")


def target_down(series: Series) -> Series:
    """Return series of a target that cannot be scraped."""
    return ending(ending(series, tuple(series)), ("up{}",), then=f"0x{END}")


WAYS: Final[dict[str, Callable[[Series], Series]]] = {
    "stale": lambda series: failing(series, GONE),
    "hollow": lambda series: failing(series, GONE + 4),
    "rows missing": rows_missing,
    "method gone": lambda series: ending(ending(series, PRICES), (MISSING,), then=f"1x{END}"),
    "refused": lambda series: failing(series, GONE + 20),
    "polled without data": lambda series: ending(series, DATA),
    "target gone": lambda series: ending(series, tuple(series)),
    "target down": target_down,
    "account removed": lambda series: ending(series, (UP, INFO, *DATA)),
    "pool unknown": lambda series: ending(series, (RATIO, MARGIN)),
    "rows of the opposite side": lambda series: ending(
        ending(series, (ENTRY, LIQUIDATION)), (MISSING,), GONE + 1, f"1x{END}"
    ),
}


def flip(severity: str, values: Series) -> Series:
    """Return series of an account at risk that changes to multi-assets mode: currency and margin asset change."""
    series = ending(account(values), (INFO, RATIO))
    ratio = RISKS[severity, "ratio"][RATIO]
    return series | {
        INFO.replace("single", "multi"): f"_x{GONE} 1x{END}",
        RATIO_USD: f"_x{GONE} {ratio}x{END}",
    }


def gap(series: Series, length: int) -> Series:
    """Return series with a gap, as a restart of Prometheus leaves one: without stale markers."""
    return {name: f"{value.split('x')[0]}x{GONE - 1} _x{length} {value}" for name, value in series.items()}


def repeat(*samples: str) -> str:
    """Return the samples repeated until the end, in promtool's notation."""
    return " ".join([*samples] * (END // len(samples)))


FLIPPING: Final[dict[str, Series]] = {
    "both responses agree": {AMOUNT: repeat("0.1", "-0.1"), LIQUIDATION: repeat("80000", "120000")},
    "every second pair of responses disagrees": {
        AMOUNT: repeat("0.1", "-0.1"),
        LIQUIDATION: repeat("80000", "stale"),
        ENTRY: repeat("100000", "stale"),
    },
    "the rows are missing in two polls of three": {
        AMOUNT: repeat("0.1", "-0.1", "0.1"),
        LIQUIDATION: repeat("80000", "stale", "stale"),
        ENTRY: repeat("100000", "stale", "stale"),
        MISSING: repeat("0", "0", "1"),
    },
}
