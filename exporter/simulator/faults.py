"""Named faults of the exchange: each switch works at once, and is undone when the stack it returns is closed.

`exchange.delay_answers(3.0)` stays; `with exchange.delay_answers(3.0): ...` lasts for the block. A switch for answers
holds for one method or all (None), and for one account or all.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from exporter.simulator.answer_edits import encode
from exporter.simulator.toggles import Toggles

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from exporter.simulator.answer_edits import Answer, Frame, Replacement
    from exporter.simulator.connection import Connection
    from exporter.simulator.weight import RequestWeight

    Ending = Callable[[Connection], Awaitable[None]]


class Faults:
    """The switches, and what they are set to. `connections` holds every connection, also those still opening.

    `ban_data` and `ban_text` choose whether refusals for weight tell their end in their data and in their text.
    """

    def __init__(
        self, clock: Callable[[], float], weight: RequestWeight, *, ban_data: bool = True, ban_text: bool = True
    ) -> None:
        self._clock = clock
        self.weight = weight
        self.connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._skews = Toggles[float]()
        self._rejections = Toggles[tuple[int, "Mapping[str, str]"]]()
        self._garbage = Toggles[bytes | None]()
        self._closed_doors = Toggles[bool]()
        self._silent_handshakes = Toggles[ExitStack]()
        self._endings = Toggles[tuple[int, "Ending"]]()
        self._delays = Toggles[float]()
        self._cuts = Toggles[bool]()
        self._replacements = Toggles["Replacement"]()
        self._told_ban = (ban_data, ban_text)
        self._bans = Toggles[tuple[bool, bool]]()
        self._others = Toggles[int]()
        self._minute_of_others = -1

    # The clock and the weight.

    def server_time(self) -> float:
        """Tell the time the exchange believes it is."""
        return self._clock() + self._skews.last(0.0)

    def skew_clock(self, seconds: float) -> ExitStack:
        """Put the exchange's clock ahead of the clock it was given, or behind it; while it runs that is a step."""
        return self._skews.switch_on(seconds)

    def ban(self, seconds: float, *, data: bool | None = None, text: bool | None = None) -> ExitStack:
        """Ban the IP, as after too many requests; its end is told as ever, or in data, in text or not at all.

        Where neither tells it, the refusal of a handshake has no Retry-After.
        """
        banned_before = self.weight.banned_until
        self.weight.banned_until = self.server_time() + seconds
        usual_data, usual_text = self._told_ban
        undo = self._bans.switch_on((usual_data if data is None else data, usual_text if text is None else text))
        undo.callback(setattr, self.weight, "banned_until", banned_before)
        return undo

    def change_weight_limit(self, limit: int) -> ExitStack:
        """Change the request weight that a minute allows."""
        undo = ExitStack()
        undo.callback(setattr, self.weight, "limit", self.weight.limit)
        self.weight.limit = limit
        return undo

    def add_other_traffic(self, weight: int) -> None:
        """Spend request weight as another program behind the same IP."""
        self.weight.add(weight, self.server_time())

    def share_weight(self, weight: int) -> ExitStack:
        """Let another program behind the same IP spend so much now, and at the begin of every minute."""
        undo = self._others.switch_on(weight)
        self.add_other_traffic(weight)
        self._minute_of_others = int(self.server_time() // 60)
        return undo

    def spent_weight(self) -> int:
        """Tell the request weight of the current minute, other programs' included."""
        now = self.server_time()
        if int(now // 60) != self._minute_of_others:
            self._minute_of_others = int(now // 60)
            self.add_other_traffic(sum(self._others.of()))
        return self.weight.count(now)

    # The handshake.

    def reject_handshake(self, status: int, headers: Mapping[str, str] | None = None) -> ExitStack:
        """Refuse new connections with an HTTP status, and headers such as Retry-After."""
        return self._rejections.switch_on((status, headers or {}))

    def garble_handshake(self, data: bytes = b"not HTTP\r\n\r\n") -> ExitStack:
        """Answer new connections with these bytes instead of HTTP, then close them."""
        return self._garbage.switch_on(data)

    def close_at_accept(self) -> ExitStack:
        """Close new connections before they have said anything."""
        return self._closed_doors.switch_on(value=True)

    def silence_handshakes(self) -> ExitStack:
        """Accept new connections and never say anything to them."""
        silences = ExitStack()
        undo = self._silent_handshakes.switch_on(silences)
        undo.push(silences)
        return undo

    # The life of a connection.

    def drop_connections(self) -> None:
        """Cut every connection without a word."""
        for connection in list(self.connections):
            connection.drop()

    async def close_connections(self, code: int = 1000, reason: str = "") -> None:
        """Close every open connection with a code and a reason."""
        await asyncio.gather(*(connection.close(code, reason) for connection in self._open_connections()))

    def silence_connections(self) -> ExitStack:
        """Let every connection there is live on, while nothing is heard or said on it, not even a pong.

        New connections are spared. What was held back is heard and said when it is undone.
        """
        undo = ExitStack()
        for connection in self.connections:
            undo.enter_context(connection.silence())
        return undo

    def close_after(self, requests: int, code: int | None = 1000, reason: str = "") -> ExitStack:
        """Close each connection after so many requests, 0 at its opening, or drop it where the code is None.

        A connection that is past that ends at its next request.
        """

        async def end(connection: Connection) -> None:
            if code is None:
                connection.drop()
            else:
                await connection.close(code, reason)

        return self._endings.switch_on((requests, end))

    def silence_after(self, requests: int) -> ExitStack:
        """Let each connection fall silent after so many requests, 0 at its opening; see silence_connections."""
        silences = ExitStack()

        async def end(connection: Connection) -> None:
            silences.enter_context(connection.silence())

        undo = self._endings.switch_on((requests, end))
        undo.push(silences)
        return undo

    async def announce_shutdown(self, seconds: float = 10.0) -> None:
        """Send `serverShutdown` to every open connection, and close those when the time is up."""
        told = self._open_connections()
        event = f'{{"event":{{"e":"serverShutdown","E":{int(self.server_time() * 1000)}}}}}'
        await self.send_raw(event)
        await asyncio.sleep(seconds)
        await asyncio.gather(*(connection.close(1001, "server shutdown") for connection in told))

    async def send_raw(self, data: str | bytes) -> None:
        """Send a frame that nobody asked for to every client: text, or binary for bytes."""
        for connection in self._open_connections():
            with suppress(ConnectionClosed):
                await connection.send(data)

    def repeat(self, seconds: float, action: Callable[[], Awaitable[None] | None]) -> ExitStack:
        """Do something again and again, for the first time after so many seconds."""

        async def repeat() -> None:
            while True:
                await asyncio.sleep(seconds)
                if (doing := action()) is not None:
                    await doing

        undo = ExitStack()
        undo.callback(self._start(repeat()).cancel)
        return undo

    # Answers.

    def delay_answers(self, seconds: float, method: str | None = None, account: str | None = None) -> ExitStack:
        """Hold answers back; requests are still taken and judged at once, and others' answers overtake."""
        return self._delays.switch_on(seconds, method, account)

    def lose_answers(self, method: str | None = None, account: str | None = None) -> ExitStack:
        """Take requests and never answer."""
        return self._replacements.switch_on(lambda _: [], method, account)

    def cut_answers(self, method: str | None = None, account: str | None = None) -> ExitStack:
        """Send half of the answer's frame, then drop the connection."""
        return self._cuts.switch_on(True, method, account)  # noqa: FBT003 - the value that is switched on

    def replace_answer(self, method: str | None, account: str | None, function: Replacement) -> ExitStack:
        """Alter answers: to another one, to a raw frame, or to a list of these; several replacements add up.

        A raw frame is altered no further. `exporter.simulator.answer_edits` has functions ready.
        """
        return self._replacements.switch_on(function, method, account)

    # What the exchange asks its switches.

    def charge(self, weight: int) -> int:
        """Add a request's weight, after that of others in this minute, and tell the status it deserves."""
        self.spent_weight()
        return self.weight.charge(weight, self.server_time())

    def tells_ban(self) -> tuple[bool, bool]:
        """Tell whether refusals for weight tell their end in their data, and in their text."""
        return self._bans.last(self._told_ban)

    def handshake_rejection(self) -> tuple[int, Mapping[str, str]] | None:
        """Tell the status and the headers that new connections are refused with."""
        return next(reversed(self._rejections.of()), None)

    def handshake_garbage(self) -> bytes | None:
        """Tell what new connections are answered with instead of HTTP."""
        return self._garbage.last(None)

    def meet(self, connection: Connection) -> None:
        """Spoil a connection that was just accepted."""
        if self._closed_doors.of():
            connection.transport.close()
        for silences in self._silent_handshakes.of():
            silences.enter_context(connection.silence())

    async def end_if_due(self, connection: Connection) -> None:
        """End a connection that has had its requests."""
        for requests, end in self._endings.of():
            if connection.taken >= requests:
                await end(connection)

    def delay_of(self, method: str, account: str | None) -> float:
        """Tell how many seconds an answer is held back."""
        return self._delays.last(0.0, method, account)

    def is_cut(self, method: str, account: str | None) -> bool:
        """Tell whether an answer breaks off."""
        return bool(self._cuts.of(method, account))

    def frames_of(self, method: str, account: str | None, answer: Answer) -> list[str | bytes]:
        """Tell what is sent for an answer."""
        frames: list[Frame] = [answer]
        for replace in self._replacements.of(method, account):
            altered: list[Frame] = []
            for frame in frames:
                made = replace(frame) if isinstance(frame, dict) else frame
                altered += made if isinstance(made, list) else [made]
            frames = altered
        return [encode(frame) for frame in frames]

    def _open_connections(self) -> list[Connection]:
        return [each for each in self.connections if each.state is State.OPEN]

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
