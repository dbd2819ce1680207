"""Shards: which accounts each of them owns, and how the index of one is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import characters, make_settings

from exporter.config.exporter_yml import Config
from exporter.config.shards import Shard, shard_index


@given(st.lists(st.text(characters, min_size=1), unique=True, max_size=30), st.integers(1, 9))
def test_shards_partition_the_accounts(names: list[str], total: int) -> None:
    """Every account belongs to exactly one of the shards, in the configuration's order."""
    config = Config(accounts=tuple(map(make_settings, names)), weight_share=0.5, warnings=("one",))
    parts = [Shard(index, total).select(config) for index in range(total)]

    assert sorted(names) == sorted(settings.name for part in parts for settings in part.accounts)
    for part in parts:
        assert [settings for settings in config.accounts if settings in part.accounts] == list(part.accounts)
        assert ("one",) == part.warnings


def test_shard_of_an_account_never_changes() -> None:
    """An account's shard is determined by its name's SHA-256, the same in every release and on every machine."""
    assert [0, 0, 2, 2] == [
        next(index for index in range(3) if Shard(index, 3).owns(name))
        for name in ("main", "desk-a", "\u5e01\u5b89", "desk-b")
    ]


def test_shards_are_of_similar_size() -> None:
    """No shard of four has twice its part of a hundred accounts."""
    owned = [sum(Shard(index, 4).owns(f"desk-{n}") for n in range(100)) for index in range(4)]

    assert 100 == sum(owned)
    assert max(owned) < 50


@pytest.mark.parametrize(("text", "index"), [("0", 0), ("7", 7), ("exporter-0", 0), ("my-exporter-2-12", 12)])
def test_index_is_a_number_or_ends_a_pods_name(text: str, index: int) -> None:
    """A shard's index is a number, or the end of the name of a StatefulSet's pod."""
    assert index == shard_index(text)


@pytest.mark.parametrize(
    "text", ["", "exporter", "-", "exporter-1a", "exporter2", "1.5", "-\u0663", "9999999", "-1", "pod--1"]
)
def test_other_texts_are_rejected(text: str) -> None:
    """A text that neither is nor ends in a separate number is rejected with an error that quotes it."""
    with pytest.raises(ValueError, match="neither a number nor a pod name"):
        shard_index(text)
