"""What `helm test` runs: how long it asks the shards, and what it says of those that are not ready."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

from support.helm_chart import CHART
from support.ports import closed_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = (CHART / "files" / "ready.py").read_text(encoding="utf-8")
STARTING = (503, "not ready: waiting for the first\npoll of 2 accounts\n")
READY = (200, "ready\n")


@contextmanager
def shard(*answers: tuple[int, str]) -> Iterator[str]:
    """Serve each of the answers once, then the last one for ever; yield the address."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/-/ready"
        finally:
            server.shutdown()


def ask(*addresses: str, patience_seconds: int) -> subprocess.CompletedProcess[str]:
    """Run the test against addresses, for so long in the place of a minute."""
    script = SCRIPT.replace("PATIENCE_SECONDS = 60", f"PATIENCE_SECONDS = {patience_seconds}")
    assert f"PATIENCE_SECONDS = {patience_seconds}\n" in script
    return subprocess.run([sys.executable, "-c", script, *addresses], capture_output=True, text=True, check=False)


def test_every_shard_that_is_not_ready_is_told_with_its_reason() -> None:
    """Once patience is over each shard that is not ready has one line, with what it answers, and no other has."""
    with closed_port() as port, shard(STARTING) as starting, shard(READY) as ready:
        unused = f"http://127.0.0.1:{port}/-/ready"
        closed = unused.replace("http", "tcp")
        done = ask(starting, unused, ready, closed, patience_seconds=0)

    refused = "[Errno 111] Connection refused"
    assert (1, "") == (done.returncode, done.stderr)
    assert [
        f"{starting}: 503 not ready: waiting for the first poll of 2 accounts",
        f"{unused}: {refused}",
        f"{closed}: {refused}",
        "1 of 4 ready",
    ] == done.stdout.splitlines()


def test_shards_that_start_are_waited_for() -> None:
    """A shard that becomes ready in time is ready, and one that was is not asked again."""
    with shard(STARTING, READY) as late, shard(READY, (500, "")) as early:
        done = ask(late, early, patience_seconds=60)

    assert (0, "2 of 2 ready\n", "") == (done.returncode, done.stdout, done.stderr)
