"""Frames that match no request: they are counted, logged and dropped, but a ban that they report takes effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.polling import connected, request_status
from support.waiting import until

from exporter.binance.errors import DisconnectReason, NoResponse, Reason, UnmatchedReason

if TYPE_CHECKING:
    from exporter.simulator import SimulatedExchange


async def test_late_answer_is_counted_and_dropped(exchange: SimulatedExchange, logged: list[Any]) -> None:
    """A response that arrives after its deadline matches no request: it is counted, logged once and dropped."""
    async with connected(exchange.url) as connection:
        with exchange.delay_answers(0.1):
            for _ in range(2):
                with pytest.raises(NoResponse):
                    await request_status(connection, exchange.accounts["alice"], timeout_seconds=0.01)
        await until(lambda: connection.unmatched_frames.counts[UnmatchedReason.UNKNOWN_ID] == 2)

    assert 1 == len([event for event in logged if event["event"] == "frame ignored"])


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        ('{"id": 999999, "status": 200, "result": {}}', UnmatchedReason.UNKNOWN_ID),
        ('{"id": null, "status": 401, "error": {"code": -2015, "msg": "Invalid API-key"}}', UnmatchedReason.NULL_ID),
        ('{"event": {"e": "somethingNew", "E": 1}}', UnmatchedReason.EVENT),
        (b"\x00\x01", UnmatchedReason.BINARY),
        ("{nonsense", UnmatchedReason.GARBAGE),
        ("[" * 100_000, UnmatchedReason.GARBAGE),
        ('{"id": 1.5}', UnmatchedReason.GARBAGE),
    ],
)
async def test_foreign_frames_are_survived(
    exchange: SimulatedExchange, logged: list[Any], frame: str | bytes, kind: UnmatchedReason
) -> None:
    """Frames that match no request are counted by reason, logged once a minute, and have no other effect."""
    async with connected(exchange.url) as connection:
        for _ in range(3):
            await exchange.send_raw(frame)
        await until(lambda: connection.unmatched_frames.counts[kind] == 3)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == connection.connections
    assert [kind.value] == [event["reason"] for event in logged if event["event"] == "frame ignored"]


async def test_oversized_frame_costs_the_connection_only(exchange: SimulatedExchange) -> None:
    """A frame over 8 MiB ends the socket and is counted, and the next socket is used."""
    async with connected(exchange.url) as connection:
        await exchange.send_raw("x" * (8 * 2**20 + 1))
        await until(lambda: connection.connections == 2 and connection.connected)
        await request_status(connection, exchange.accounts["alice"])

        assert 1 == connection.unmatched_frames.counts[UnmatchedReason.OVERSIZED]
        assert 1 == connection.disconnections[DisconnectReason.CLOSED]


async def test_error_without_id_is_heard_when_it_bans(exchange: SimulatedExchange) -> None:
    """A refusal for weight that names no request still stops everything on the endpoint."""
    async with connected(exchange.url) as connection:
        await exchange.send_raw('{"id": null, "status": 418, "error": {"code": -1003, "msg": "banned"}}')
        await until(lambda: connection.budget.paused is Reason.BANNED)


@pytest.mark.parametrize("frame", ['{"id":null,"status":418}', '{"status":418}', '{"id":77,"status":418,"error":null}'])
async def test_ban_without_an_error_is_respected(exchange: SimulatedExchange, frame: str) -> None:
    """A frame that reports a ban only by its status pauses the requests, although it matches none of them."""
    async with connected(exchange.url) as connection:
        await exchange.send_raw(frame)
        await until(lambda: connection.budget.paused)

        assert Reason.BANNED is connection.budget.paused
