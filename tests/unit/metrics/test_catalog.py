"""The catalog's own rules: names, help, labels, and one family for every field of a response."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.builders import fill, make_asset, make_figures, make_position, make_risk, make_snapshot, make_status

from exporter.metrics.catalog import ACCOUNTS
from exporter.metrics.configuration_catalog import CONFIGURATION_GROUPS
from exporter.metrics.self_catalog import ENDPOINTS, POLLING, PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from exporter.metrics.model import Catalog, Family, Group

CATALOGS = (ACCOUNTS, POLLING, ENDPOINTS, PROGRAM)
VALUE_FAMILIES = ACCOUNTS.families
ALL_FAMILIES = [family for catalog in CATALOGS for family in catalog.families]
STATUS = make_status(**make_figures())
ASSET = fill(make_asset(margin_available=True))
POSITION = fill(make_position())
RISK = fill(make_risk(margin_asset="USDT"))
# Families that read more than one field of one row.
OPEN_POSITIONS = "binance_futures_account_open_positions"
RISK_MISSING = "binance_futures_position_risk_missing"
POSITION_INFO = "binance_futures_position_info"
RATIOS = ("binance_futures_cross_margin_ratio", "binance_futures_isolated_margin_ratio")
CONFIGURATION = [family.name for group in CONFIGURATION_GROUPS for family in group.families]
# The amount is that of the status, and the margin asset is a label of position_info.
RISK_IDENTITY = {"symbol", "position_side", "amount", "margin_asset"}
ROWS = {
    "account": (STATUS, "v2/account.status", {"assets", "positions"}),
    "asset": (ASSET, "assets[] of v2/account.status", {"asset"}),
    "position": (POSITION, "positions[] of v2/account.status", {"symbol", "position_side"}),
    "risk": (RISK, "v2/account.position", RISK_IDENTITY),
}


def _named(families: Sequence[Family]) -> list[Any]:
    return [pytest.param(family, id=family.name) for family in families]


def _families_of(kind: str) -> list[Family]:
    """Return the families of one type of row, identified by the source that each names."""
    source = ROWS[kind][1]
    return [
        family
        for family in VALUE_FAMILIES
        if re.fullmatch(rf"\w+ of {re.escape(source)}", family.source)
        and family.name not in {OPEN_POSITIONS, RISK_MISSING, POSITION_INFO, *RATIOS}
    ]


def _fields() -> Iterator[Any]:
    for kind, (row, _, identity) in ROWS.items():
        for field in msgspec.structs.fields(row):
            if field.name not in identity:
                yield pytest.param(kind, field, id=f"{type(row).__name__}.{field.name}")


def test_names_are_unique() -> None:
    """No metric is declared twice."""
    names = [family.name for family in ALL_FAMILIES]

    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("family", _named(ALL_FAMILIES))
def test_names_follow_the_rules(family: Family) -> None:
    """A name is prefixed, in snake case, and without a money unit or an ending that prometheus_client adds."""
    assert re.fullmatch(r"binance_futures(_[a-z]+)+", family.name)
    assert not re.search(r"_(usdt?|usdc|btc|bnb|dollars?|eur|ms|milliseconds)(_|$)", family.name)
    assert not family.name.endswith(("_count", "_sum", "_bucket", "_created"))


@pytest.mark.parametrize("family", _named(ALL_FAMILIES))
def test_help_is_one_sentence(family: Family) -> None:
    """A help text is one sentence in one line that needs no escaping."""
    assert re.fullmatch(r"[A-Z][^\\\n]*\.", family.help)
    assert not re.search(r"[.!?]\s", family.help)


@pytest.mark.parametrize("family", _named(VALUE_FAMILIES))
def test_help_of_values_names_the_source(family: Family) -> None:
    """A figure's help ends with the field and the method that it comes from, a ratio's with its formula and method."""
    field = r"[\w -]+ (of|in) (((assets|positions)\[\] of )?(v2/|v1 )account\.status|v2/account\.position)"
    if family.name in RATIOS:
        assert re.search(r"\w / .*\w.* \(v2/account\.status\)\.$", family.help)
    elif family.name == POSITION_INFO:
        assert re.search(rf" \({field}, [\w ]+; {field}\)\.$", family.help)
    else:
        assert re.search(rf" \({field}\)\.$", family.help)
    assert f"{family.description} ({family.source})." == family.help


def test_every_family_reads_one_field_of_one_row() -> None:
    """Every value family is read from one field of one row, except for those that are tested separately."""
    of_rows = [family.name for kind in ROWS for family in _families_of(kind)]

    assert sorted([*of_rows, OPEN_POSITIONS, RISK_MISSING, POSITION_INFO, *RATIOS, *CONFIGURATION]) == sorted(
        family.name for family in VALUE_FAMILIES
    )


@pytest.mark.parametrize(("kind", "field"), [*_fields()])
def test_every_field_is_read_by_one_family(kind: str, field: msgspec.structs.FieldInfo) -> None:
    """A field of a response that is not part of the identity changes exactly one family, whose help names it."""
    row, source, _ = ROWS[kind]
    value = getattr(row, field.name)
    changed = msgspec.structs.replace(row, **{field.name: not value if value is True else value + 1000})

    (family,) = [family for family in _families_of(kind) if family.read(row) != family.read(changed)]

    assert f"{field.encode_name} of {source}" == family.source


@pytest.mark.parametrize("kind", ROWS)
def test_every_family_reads_one_field(kind: str) -> None:
    """There are as many families of a row as fields that are not part of its identity."""
    row, _, identity = ROWS[kind]

    assert len(msgspec.structs.fields(row)) - len(identity) == len(_families_of(kind))


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("account", make_status()),
        ("asset", make_asset()),
        ("position", make_position()),
        ("risk", make_risk()),
    ],
)
def test_missing_figures_have_no_samples(kind: str, row: msgspec.Struct) -> None:
    """For a row with only its identity, no family has a value, except a position's amount."""
    values = {family.name: family.read(row) for family in _families_of(kind)}

    assert {"binance_futures_position_amount": 1.0}.items() >= {
        (name, value) for name, value in values.items() if value is not None
    }


@pytest.mark.parametrize(
    ("name", "row", "value"),
    [
        ("asset_update_timestamp_seconds", make_asset(update_time_ms=1_700_000_000_123), 1_700_000_000.123),
        ("asset_update_timestamp_seconds", make_asset(update_time_ms=0), None),
        ("position_update_timestamp_seconds", make_position(update_time_ms=1500), 1.5),
        ("position_update_timestamp_seconds", make_position(update_time_ms=0), None),
        ("asset_margin_available", make_asset(margin_available=False), 0.0),
        ("asset_margin_available", make_asset(margin_available=True), 1.0),
        ("asset_wallet_balance", make_asset(wallet_balance=0.0), 0.0),
        ("position_liquidation_price", make_risk(liquidation_price=0.0), None),
        ("position_liquidation_price", make_risk(liquidation_price=0.5), 0.5),
        ("position_adl_quantile", make_risk(adl_quantile=0), 0.0),
        ("position_adl_quantile", make_risk(adl_quantile=4), 4.0),
        ("position_adl_quantile", make_risk(), None),
        ("position_entry_price", make_risk(entry_price=0.0), 0.0),
    ],
)
def test_special_values(name: str, row: msgspec.Struct, value: float | None) -> None:
    """Times are in seconds, absent where 0 like a liquidation price; truth is 0 or 1; other zeros sent are zeros."""
    (family,) = [family for family in VALUE_FAMILIES if family.name == f"binance_futures_{name}"]

    assert value == family.read(row)


@pytest.mark.parametrize(("catalog", "group"), [(catalog, group) for catalog in CATALOGS for group in catalog.groups])
def test_labels_are_unique(catalog: Catalog, group: Group) -> None:
    """A group's labels differ from each other and from the label of the catalog."""
    labels = catalog.label_names(group)

    assert sorted(set(labels)) == labels


@pytest.mark.parametrize(
    ("expected", "names"), [(None, None), (0.0, frozenset()), (1.0, frozenset({("BTCUSDT", "BOTH")}))]
)
def test_missing_risk_is_counted(expected: float | None, names: frozenset[tuple[str, str]] | None) -> None:
    """Positions without risk figures are counted; there is no count if position risk is not requested."""
    (family,) = [family for family in VALUE_FAMILIES if family.name == RISK_MISSING]

    assert expected == family.read(replace(make_snapshot(), risk_missing=names))
