"""An exchange that records its answers, and the series that a scrape may show of them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exporter.simulator import SimulatedExchange
from support.fault_loop import running_loop
from support.methods import POSITION, STATUS
from support.polling import traders
from support.response_fields import FIGURES, POSITION_FIELDS, RISK_FIELDS, RISK_FIELDS_WHILE_HELD, TOTALS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from exporter.simulator.answer_edits import Answer

_LONGEST_READ: Final = 8 * 2**20  # longer frames are rejected


class Sent(NamedTuple):
    """A successful answer as it was sent: when (by the loop's time), to which method, and its result."""

    at: float
    method: str
    result: Any


class RecordingExchange(SimulatedExchange):
    """An exchange with two accounts that records the answers sent to each, by the ids that they carry.

    `requests` counts requests by account and method; `weight_by_minute` has their weight and that of handshakes.
    """

    def __init__(self) -> None:
        super().__init__(traders(), clock=running_loop().exchange_clock)
        self.sent: defaultdict[str, list[Sent]] = defaultdict(list)
        self.requests: Counter[tuple[str | None, str]] = Counter()
        self.weight_by_minute: Counter[int] = Counter()
        self._owners: dict[str, tuple[str, str]] = {}
        self._series: dict[tuple[int, int], dict[str, float] | None] = {}  # by `id()` of the results, which are kept
        for name in ("alice", "bob"):
            self.account(name).open("BTCUSDT", "0.1", leverage=20)
            self.account(name).open("ETHUSDT", "-1", leverage=10)

    def charge(self, weight: int) -> int:
        """Add a request's weight."""
        self.weight_by_minute[int(self.server_time() // 60)] += weight
        return super().charge(weight)

    def frames_of(self, method: str, account: str | None, answer: Answer) -> list[str | bytes]:
        """Return the frames that are sent for an answer, and record them."""
        self.requests[account, method] += 1
        if account is not None:
            self._owners[str(answer["id"])] = (account, method)
        frames = super().frames_of(method, account, answer)
        at = running_loop().time() + self.delay_of(method, account)
        if not self.is_cut(method, account):
            for frame in frames:
                self._record(at, frame)
        return frames

    def sent_series(self, account: str, since: float) -> Iterator[tuple[float, dict[str, float]]]:
        """Yield when the answers to each poll since then were sent and their series, the latest first."""
        answers = self.sent[account]
        for place in reversed(range(len(answers))):
            status = answers[place]
            if status.at < since:
                return
            if status.method == POSITION:
                continue
            # Both are requested at once: the answer with positions may come before or after.
            after, before = answers[place + 1 :], reversed(answers[:place])
            for candidates in (after, before):
                risks = next((answer.result for answer in candidates if answer.method == POSITION), None)
                key = id(status.result), id(risks)
                if key not in self._series:
                    self._series[key] = None  # a broken answer, of which nothing may be shown
                    with suppress(KeyError, TypeError, ValueError, AttributeError):
                        self._series[key] = dict(_series(account, status.result, risks))
                if (series := self._series[key]) is not None:
                    yield status.at, series

    def _record(self, at: float, frame: str | bytes) -> None:
        if isinstance(frame, bytes) or len(frame) > _LONGEST_READ:
            return
        try:
            answer = json.loads(frame)
        except (ValueError, RecursionError):
            return
        if isinstance(answer, dict) and answer.get("result") is not None and str(answer.get("id")) in self._owners:
            account, method = self._owners[str(answer["id"])]
            if method in {STATUS, POSITION}:
                self.sent[account].append(Sent(at, method, answer["result"]))


def _series(account: str, status: Mapping[str, Any], risks: Any) -> Iterator[tuple[str, float]]:
    yield from _group("account", TOTALS, status, account=account, currency="USDT")
    open_positions = sum(bool(float(row["positionAmt"])) for row in status["positions"])
    yield f'binance_futures_account_open_positions{{account="{account}"}}', float(open_positions)
    for row in status["assets"]:
        yield from _group("asset", FIGURES, row, account=account, asset=row["asset"])
        flag = row.get("marginAvailable")
        yield from _group(
            "asset",
            {"margin_available": "flag"},
            {"flag": None if flag is None else int(flag)},
            account=account,
            asset=row["asset"],
        )
        yield from _update_time("asset", row, account=account, asset=row["asset"])
    risks_by_row = {(row["symbol"], row["positionSide"]): row for row in risks or ()}
    for row in status["positions"]:
        labels = {"account": account, "position_side": row["positionSide"], "symbol": row["symbol"]}
        yield from _group("position", POSITION_FIELDS, row, **labels)
        yield from _update_time("position", row, **labels)
        if risk := risks_by_row.get((row["symbol"], row["positionSide"])):
            yield from _group("position", RISK_FIELDS, risk, **labels)
            mark_price, price = risk.get("markPrice"), risk.get("liquidationPrice")
            complete = mark_price is not None and float(mark_price) and price is not None
            if complete and float(row["positionAmt"]) * float(risk["positionAmt"]) > 0:
                yield from _group("position", RISK_FIELDS_WHILE_HELD, risk, **labels)
                if float(price) > 0:
                    yield from _group("position", {"liquidation_price": "liquidationPrice"}, risk, **labels)


def _group(prefix: str, names: Mapping[str, str], row: Mapping[str, Any], **labels: str) -> Iterator[tuple[str, float]]:
    text = ",".join(f'{label}="{value}"' for label, value in sorted(labels.items()))
    for name, wire in names.items():
        if (value := row.get(wire)) is not None:
            yield f"binance_futures_{prefix}_{name}{{{text}}}", float(value)


def _update_time(prefix: str, row: Mapping[str, Any], **labels: str) -> Iterator[tuple[str, float]]:
    seconds = (row.get("updateTime") or 0) / 1000
    yield from _group(prefix, {"update_timestamp_seconds": "seconds"}, {"seconds": seconds or None}, **labels)
