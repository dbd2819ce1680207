"""Passwords and headers of the scrape server: who is accepted, the answers to others, and the cost of a flood."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import threading
from typing import TYPE_CHECKING

import bcrypt
import httpx
import pytest
from support.http_clients import http_client
from support.tls import BODY, curl, guarded
from support.waiting import DEADLINE_SECONDS, until

from exporter.web.limits import Limits
from exporter.web.passwords import Busy, Passwords

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

LONGEST = "x" * 72


def hash_of(password: str, cost: int = 4) -> str:
    """Hash a password."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


USERS = {"prometheus": hash_of("right"), "币 desk": hash_of("pässword"), "long": hash_of(LONGEST)}
DOCUMENT = "basic_auth_users: {" + ", ".join(f"'{name}': '{hashed}'" for name, hashed in USERS.items()) + "}\n"
HASHES = {name.encode(): hashed.encode() for name, hashed in USERS.items()}


class Gate:
    """Delays every bcrypt check until it is opened, and counts them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.seen: list[bytes] = []  # the hash of each check
        self.at_once = self.most_at_once = 0
        self._matches = bcrypt.checkpw

    def __call__(self, password: bytes, hashed: bytes) -> bool:
        """Check once the gate is open."""
        self.seen.append(hashed)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.open.wait(DEADLINE_SECONDS)
        self.at_once -= 1
        return self._matches(password, hashed)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Bcrypt behind a gate, which is opened at the end."""
    closed = Gate()
    monkeypatch.setattr(bcrypt, "checkpw", closed)
    yield closed
    closed.open.set()


@contextlib.asynccontextmanager
async def serving(folder: Path, document: str = DOCUMENT) -> AsyncIterator[httpx.AsyncClient]:
    """Serve with a web configuration; yield a client that sends no password by default."""
    limits = httpx.Limits(max_connections=None)
    async with (
        guarded(folder, document) as (url, _),
        http_client(url, limits=limits) as client,
    ):
        yield client


def basic(text: str | bytes) -> str:
    """Return an Authorization header."""
    return "Basic " + base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (basic("prometheus:right"), 200),
        (basic("prometheus:right").replace("Basic", "bAsIc"), 200),
        (basic("prometheus:right").replace(" ", "  "), 200),
        (basic("币 desk:pässword"), 200),
        (basic(f"long:{LONGEST}"), 200),
        (basic(f"long:{LONGEST}x"), 401),
        (basic("prometheus:wrong"), 401),
        (basic("prometheus:"), 401),
        (basic("prometheus:right\0"), 401),
        (basic("prometheus"), 401),
        (basic("Prometheus:right"), 401),
        (basic("nobody:right"), 401),
        (basic(":right"), 401),
        (basic("币 desk:pässword".encode("gb18030")), 401),
        (basic(":"), 401),
        ("Basic", 401),
        ("Basic !!!!", 401),
        (basic("prometheus:right") + "=", 401),
        ("Bearer right", 401),
        (basic("prometheus:right").replace("Basic ", ""), 401),
    ],
)
async def test_authorization(tmp_path: Path, authorization: str, status: int) -> None:
    """The right name and password are accepted; any other header is answered with 401."""
    async with serving(tmp_path) as client:
        answers = [await client.get("/metrics", headers={"Authorization": authorization}) for _ in range(2)]

    assert [status] * 2 == [answer.status_code for answer in answers]
    assert {BODY if status == 200 else b"Unauthorized\n"} == {answer.content for answer in answers}
    assert {None if status == 200 else "Basic"} == {answer.headers.get("WWW-Authenticate") for answer in answers}


async def test_curl_with_a_password(tmp_path: Path) -> None:
    """Curl gets the metrics with the password, and 401 without."""
    async with guarded(tmp_path, DOCUMENT) as (url, _):
        right = await curl("-f", "-u", "prometheus:right", f"{url}/metrics")
        without = await curl("-f", f"{url}/metrics")

    assert (0, BODY.decode()) == right
    assert 22 == without[0]
    assert "401" in without[1]


async def test_two_headers(tmp_path: Path) -> None:
    """Two Authorization headers are rejected, even if one is right."""
    headers = [("Authorization", basic("prometheus:right")), ("Authorization", basic("prometheus:wrong"))]
    async with serving(tmp_path) as client:
        answers = [await client.get("/metrics", headers=order) for order in (headers, headers[::-1])]

    assert [401, 401] == [answer.status_code for answer in answers]


async def test_rejections_reveal_nothing(tmp_path: Path) -> None:
    """An unknown name, a wrong password and no password get the same answer, on every path but the health probes."""
    authorizations = [basic("prometheus:wrong"), basic("nobody:wrong"), ""]
    answers_by_path = {}
    async with serving(tmp_path) as client:
        for path in (
            "/",
            "/metrics",
            "/-/status.js",
            "/nothing",
            "/-/healthy/",
            "//-/healthy",
            "/-/healthy%2f..",
            "/-/ready/../metrics",
        ):
            headers = [{"Authorization": value} if value else {} for value in authorizations]
            answers = [await client.get(f"{client.base_url}{path}", headers=header) for header in headers]
            answers_by_path[path] = {(answer.status_code, answer.text, *answer.headers.keys()) for answer in answers}
        probes = [(await client.get(path)).status_code for path in ("/-/healthy", "/-/ready")]

    assert {401} == {status for answers in answers_by_path.values() for status, *_ in answers}
    assert {1} == {len(answers) for answers in answers_by_path.values()}
    assert [200, 503] == probes


async def test_unknown_name_costs_as_much(gate: Gate) -> None:
    """An unknown name is checked against a hash as costly as a user's, the same one each time."""
    gate.open.set()
    users = {b"cheap": hash_of("a", 4).encode(), b"dear": hash_of("b", 5).encode()}
    names = [b"nobody%d" % i for i in range(40)]
    checks = Passwords(Limits())
    for word in (b"one", b"two"):
        for name in names:
            assert not await checks.verify(users, name, word, name.decode())

    first, second = gate.seen[:40], gate.seen[40:]
    assert {users[b"cheap"][:7], users[b"dear"][:7]} == {hashed[:7] for hashed in first}
    assert first == second


async def test_unknown_name_is_never_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name is rejected, even with a password that fits the hash it is checked against."""
    monkeypatch.setattr(bcrypt, "checkpw", lambda _password, _hashed: True)
    checks = Passwords(Limits())

    assert not await checks.verify(HASHES, b"nobody", b"right", "")
    assert await checks.verify(HASHES, b"prometheus", b"right", "")


async def test_same_credentials_are_checked_once(tmp_path: Path, gate: Gate) -> None:
    """Scrapes with the same credentials share one check while it is running, and its result afterwards."""
    async with serving(tmp_path) as client:
        for credentials, status in (("prometheus:right", 200), ("prometheus:wrong", 401), ("nobody:wrong", 401)):
            gate.open.clear()
            before = len(gate.seen)
            headers = {"Authorization": basic(credentials)}
            scrapes = [asyncio.create_task(client.get("/metrics", headers=headers)) for _ in range(20)]
            await until(lambda: gate.at_once)
            gate.open.set()
            answers = [*await asyncio.gather(*scrapes), await client.get("/metrics", headers=headers)]

            assert {status} == {answer.status_code for answer in answers}
            assert before + 1 == len(gate.seen)


@pytest.mark.no_cover
async def test_flood_of_wrong_passwords(tmp_path: Path, gate: Gate) -> None:
    """During a flood known credentials are accepted; one check runs at a time, a few wait, the rest get 503."""
    right = {"Authorization": basic("prometheus:right")}
    async with serving(tmp_path) as client:
        gate.open.set()
        await client.get("/metrics", headers=right)
        gate.open.clear()
        flood = [
            asyncio.create_task(client.get("/metrics", headers={"Authorization": basic(f"prometheus:wrong{i}")}))
            for i in range(100)
        ]
        await until(lambda: sum(task.done() for task in flood) == 84)
        scrape = await client.get("/metrics", headers=right)
        elsewhere = await asyncio.to_thread(lambda: "the loop's threads are free")
        probe = await client.get("/-/healthy")
        gate.open.set()
        answers = await asyncio.gather(*flood)

    assert [200, 200] == [scrape.status_code, probe.status_code]
    assert elsewhere
    assert (84, 16) == tuple(sum(answer.status_code == code for answer in answers) for code in (503, 401))
    assert {"1"} == {answer.headers["Retry-After"] for answer in answers if answer.status_code == 503}
    assert 1 == gate.most_at_once


async def test_flood_from_another_client(gate: Gate) -> None:
    """One client's flood leaves room for another client's check, up to 256 in all."""
    checks = Passwords(Limits())

    def ask(name: bytes, client: str) -> asyncio.Task[bool]:
        return asyncio.create_task(checks.verify(HASHES, name, b"right", client))

    flood = [ask(b"%d of %d" % (i, j), f"flooding {j}") for j in range(17) for i in range(16)]
    await until(lambda: gate.at_once)
    full = [task for task in flood if task.done() and isinstance(task.exception(), Busy)]
    gate.open.set()
    await asyncio.gather(*flood, return_exceptions=True)
    gate.open.clear()
    repeated = [ask(b"again %d" % i, "flooding") for i in range(20)]
    prometheus = ask(b"prometheus", "prometheus")
    await until(lambda: gate.at_once)
    shut_out = sum(task.done() for task in repeated)
    gate.open.set()

    assert 16 == len(full)
    assert 4 == shut_out
    assert await prometheus
    await asyncio.gather(*repeated, return_exceptions=True)
    assert not checks._waiting
    assert not checks._running


async def test_client_that_disconnects(gate: Gate) -> None:
    """A client that disconnects does not cancel a check that another one waits for."""
    checks = Passwords(Limits())
    leaving, staying = (asyncio.create_task(checks.verify(HASHES, b"prometheus", b"right", "same")) for _ in range(2))
    await until(lambda: gate.at_once)
    leaving.cancel()
    gate.open.set()

    assert await staying
    assert 1 == len(gate.seen)


async def test_wrong_passwords_are_remembered(gate: Gate) -> None:
    """Wrong passwords are remembered up to a number, without pushing the right ones out; none is kept as plain text."""
    gate.open.set()
    checks = Passwords(Limits(wrong_passwords=8))
    assert await checks.verify(HASHES, b"prometheus", b"right", "")
    for i in range(20):
        assert not await checks.verify(HASHES, b"prometheus", b"wrong%d" % i, "")
    checked = len(gate.seen)
    assert await checks.verify(HASHES, b"prometheus", b"right", "")
    assert not await checks.verify(HASHES, b"prometheus", b"wrong19", "")
    assert checked == len(gate.seen)
    assert not await checks.verify(HASHES, b"prometheus", b"wrong0", "")

    assert checked + 1 == len(gate.seen)
    assert 8 == len(checks._wrong)
    assert "right" not in repr((checks._right, checks._wrong))
    assert "wrong" not in repr((checks._right, checks._wrong))


async def test_headers_on_every_answer(tmp_path: Path) -> None:
    """Every answer has each header of the web configuration once, in place of the page's."""
    document = (
        "http_server_config: {headers: {Content-Security-Policy: sandbox, Strict-Transport-Security: max-age=1,"
        f" X-Content-Type-Options: nosniff, X-Frame-Options: deny, X-XSS-Protection: 0}}}}\n{DOCUMENT}"
    )
    expected = {
        "content-security-policy": "sandbox",
        "strict-transport-security": "max-age=1",
        "x-content-type-options": "nosniff",
        "x-frame-options": "deny",
        "x-xss-protection": "0",
    }
    right = {"Authorization": basic("prometheus:right")}
    async with serving(tmp_path, document) as client:
        answers = [await client.get(path, headers=right) for path in ("/", "/metrics", "/-/ready", "/nothing")]
        answers += [await client.post("/metrics", headers=right), await client.get("/metrics"), await client.head("/")]

    assert [200, 200, 503, 404, 405, 401, 401] == [answer.status_code for answer in answers]
    for answer in answers:
        assert expected == {name: answer.headers[name] for name in expected}
        assert {1} == {len(answer.headers.get_list(name)) for name in expected}
