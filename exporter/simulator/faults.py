"""The faults that an exchange can be given; each takes effect at once, until the stack it returns is closed.

`exchange.delay_answers(3.0)` stays; `with exchange.delay_answers(3.0): ...` lasts for the block. A fault of answers
applies to one account or all (None), and to one method or all of the WebSocket API (None), or to one path of REST or
all of them (`REST`).
"""

from __future__ import annotations

import asyncio
import math
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from exporter.simulator.answer_edits import encode
from exporter.simulator.toggles import Toggles
from exporter.simulator.weight import RequestWeight

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from exporter.simulator.answer_edits import Answer, Frame, Replacement
    from exporter.simulator.connection import Connection

    Closing = Callable[[Connection], Awaitable[None]]


class Faults:
    """The faults of an exchange. `connections` holds every connection, also during the handshake.

    `ban_data` and `ban_text` select whether errors for weight contain their end in their data and in their text.
    """

    def __init__(
        self, clock: Callable[[], float], weight: RequestWeight, *, ban_data: bool = True, ban_text: bool = True
    ) -> None:
        self._clock = clock
        self.weight = weight
        # Of REST: /fapi/, /sapi/ (never banned), and requests for fundingInfo, which have a limit apart from weight.
        self.rest_weight = RequestWeight(2400, tolerated_requests=10)
        self.sapi_weight = RequestWeight(12_000, tolerated_requests=math.inf)
        self.funding_info_requests = RequestWeight(500, tolerated_requests=10, window_seconds=300)
        self.connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._skews = Toggles[float]()
        self._rejections = Toggles[tuple[int, "Mapping[str, str]"]]()
        self._garbage = Toggles[bytes | None]()
        self._closed_at_accept = Toggles[bool]()
        self._stalled_handshakes = Toggles[ExitStack]()
        self._closings = Toggles[tuple[int, "Closing"]]()
        self._delays = Toggles[float]()
        self._cuts = Toggles[bool]()
        self._replacements = Toggles["Replacement"]()
        self._income_lags = Toggles[float]()
        self._default_ban_details = (ban_data, ban_text)
        self._ban_details = Toggles[tuple[bool, bool]]()

    # The clock and the weight.

    def server_time(self) -> float:
        """Return the exchange's time, in seconds since the epoch."""
        return self._clock() + self._skews.last(0.0)

    def skew_clock(self, seconds: float) -> ExitStack:
        """Step the exchange's clock by this many seconds; a negative number steps it back."""
        return self._skews.switch_on(seconds)

    def ban(self, seconds: float, *, data: bool | None = None, text: bool | None = None) -> ExitStack:
        """Ban the IP, as after too many requests; `data` and `text` override where its end is reported.

        If neither reports it, a rejected handshake has no Retry-After.
        """
        default_data, default_text = self._default_ban_details
        undo = self._ban_details.switch_on(
            (default_data if data is None else data, default_text if text is None else text)
        )
        undo.push(self.weight.ban(seconds, self.server_time()))
        return undo

    def change_weight_limit(self, limit: int) -> ExitStack:
        """Change the request-weight limit of a minute."""
        undo = ExitStack()
        undo.callback(setattr, self.weight, "limit", self.weight.limit)
        self.weight.limit = limit
        return undo

    def add_other_traffic(self, weight: int) -> None:
        """Spend request weight as another program behind the same IP."""
        self.weight.add(weight, self.server_time())

    def share_weight(self, weight: int) -> ExitStack:
        """Spend this weight as another program behind the same IP now, and at the start of every minute."""
        return self.weight.share(weight, self.server_time())

    def spent_weight(self) -> int:
        """Return the request weight of the current minute, other programs' included."""
        return self.weight.count(self.server_time())

    # The handshake. All but the rejection take effect before the first request is read, and so for REST, too.

    def reject_handshake(self, status: int, headers: Mapping[str, str] | None = None) -> ExitStack:
        """Reject new connections with an HTTP status, and headers such as Retry-After."""
        return self._rejections.switch_on((status, headers or {}))

    def garble_handshake(self, data: bytes = b"not HTTP\r\n\r\n") -> ExitStack:
        """Answer new connections with these bytes instead of HTTP, then close them."""
        return self._garbage.switch_on(data)

    def close_at_accept(self) -> ExitStack:
        """Close new connections as soon as they are accepted."""
        return self._closed_at_accept.switch_on(value=True)

    def stall_handshakes(self) -> ExitStack:
        """Accept new connections and never answer their handshakes."""
        stalls = ExitStack()
        undo = self._stalled_handshakes.switch_on(stalls)
        undo.push(stalls)
        return undo

    # Open connections.

    def drop_connections(self) -> None:
        """Reset every connection without a close frame."""
        for connection in list(self.connections):
            connection.drop()

    async def close_connections(self, code: int = 1000, reason: str = "") -> None:
        """Close every open connection with a code and a reason."""
        await asyncio.gather(*(connection.close(code, reason) for connection in self._open_connections()))

    def stall_connections(self) -> ExitStack:
        """Keep the present connections open, but stop reading and writing on them, pongs included.

        New connections work. What was held back is read and written when the fault is undone.
        """
        undo = ExitStack()
        for connection in self.connections:
            undo.enter_context(connection.stall())
        return undo

    def close_after(self, requests: int, code: int | None = 1000, reason: str = "") -> ExitStack:
        """Close each connection after this many requests (0: once open), or reset it if the code is None.

        A connection with more requests is closed after its next one.
        """

        async def end(connection: Connection) -> None:
            if code is None:
                connection.drop()
            else:
                await connection.close(code, reason)

        return self._closings.switch_on((requests, end))

    def stall_after(self, requests: int) -> ExitStack:
        """Stall each connection after this many requests (0: once open); see stall_connections."""
        stalls = ExitStack()

        async def end(connection: Connection) -> None:
            stalls.enter_context(connection.stall())

        undo = self._closings.switch_on((requests, end))
        undo.push(stalls)
        return undo

    async def announce_shutdown(self, seconds: float = 10.0) -> None:
        """Send `serverShutdown` to every open connection, and close them after this many seconds."""
        announced = self._open_connections()
        event = f'{{"event":{{"e":"serverShutdown","E":{int(self.server_time() * 1000)}}}}}'
        await self.send_raw(event)
        await asyncio.sleep(seconds)
        await asyncio.gather(*(connection.close(1001, "server shutdown") for connection in announced))

    async def send_raw(self, data: str | bytes) -> None:
        """Send an unsolicited frame to every client: text, or binary for bytes."""
        for connection in self._open_connections():
            with suppress(ConnectionClosed):
                await connection.send(data)

    def repeat(self, seconds: float, action: Callable[[], Awaitable[None] | None]) -> ExitStack:
        """Run an action at this interval in seconds, the first time after one interval."""

        async def repeat() -> None:
            while True:
                await asyncio.sleep(seconds)
                if (running := action()) is not None:
                    await running

        undo = ExitStack()
        undo.callback(self._start(repeat()).cancel)
        return undo

    # Answers.

    def delay_answers(self, seconds: float, method: str | None = None, account: str | None = None) -> ExitStack:
        """Delay answers; requests are still processed at once, and other answers overtake delayed ones."""
        return self._delays.switch_on(seconds, method, account)

    def lose_answers(self, method: str | None = None, account: str | None = None) -> ExitStack:
        """Process requests and never answer them."""
        return self._replacements.switch_on(lambda _: [], method, account)

    def cut_answers(self, method: str | None = None, account: str | None = None) -> ExitStack:
        """Send half of the answer's frame, then reset the connection."""
        return self._cuts.switch_on(True, method, account)  # noqa: FBT003 - the value that is switched on

    def replace_answer(self, method: str | None, account: str | None, function: Replacement) -> ExitStack:
        """Replace answers with another one, a raw frame, or a list of these; replacements are chained.

        A raw frame is not replaced further. `exporter.simulator.answer_edits` has ready-made functions.
        """
        return self._replacements.switch_on(function, method, account)

    def delay_income(self, seconds: float) -> ExitStack:
        """Leave rows out of the income history until they are this many seconds old."""
        return self._income_lags.switch_on(seconds)

    # Read by the exchange.

    def charge(self, weight: int) -> int:
        """Add a request's weight, after other programs' of this minute, and return the status to answer with."""
        return self.weight.charge(weight, self.server_time())

    def ban_details(self) -> tuple[bool, bool]:
        """Return whether errors for weight contain their end in their data, and in their text."""
        return self._ban_details.last(self._default_ban_details)

    def handshake_rejection(self) -> tuple[int, Mapping[str, str]] | None:
        """Return the status and the headers that new connections are rejected with, None if they are accepted."""
        return next(reversed(self._rejections.of()), None)

    def handshake_garbage(self) -> bytes | None:
        """Return what new connections are answered with instead of HTTP, None for HTTP."""
        return self._garbage.last(None)

    def on_accept(self, connection: Connection) -> None:
        """Close or stall a connection that was just accepted, if such a fault is on."""
        if self._closed_at_accept.of():
            connection.hang_up()
        for stalls in self._stalled_handshakes.of():
            stalls.enter_context(connection.stall())

    async def close_if_due(self, connection: Connection) -> None:
        """Close or stall a connection that has reached its number of requests."""
        for requests, end in self._closings.of():
            if connection.requests >= requests:
                await end(connection)

    def delay_of(self, method: str, account: str | None) -> float:
        """Return the delay of an answer in seconds."""
        return self._delays.last(0.0, method, account)

    def income_lag(self) -> float:
        """Return the age in seconds at which rows appear in the income history."""
        return self._income_lags.last(0.0)

    def is_cut(self, method: str, account: str | None) -> bool:
        """Return whether an answer is cut off within its frame."""
        return bool(self._cuts.of(method, account))

    def frames_of(self, method: str, account: str | None, answer: Answer) -> list[str | bytes]:
        """Return the frames that are sent for an answer."""
        return [encode(frame) for frame in self.replaced(method, account, answer)]

    def replaced(self, method: str, account: str | None, answer: Answer) -> list[Frame]:
        """Return what is sent for an answer: answers, not encoded yet, and raw frames."""
        frames: list[Frame] = [answer]
        for replace in self._replacements.of(method, account):
            replaced: list[Frame] = []
            for frame in frames:
                result = replace(frame) if isinstance(frame, dict) else frame
                replaced += result if isinstance(result, list) else [result]
            frames = replaced
        return frames

    def _open_connections(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.state is State.OPEN]

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
