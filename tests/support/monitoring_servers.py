"""The demo, Prometheus, Alertmanager and a webhook: separate servers on free ports."""

from __future__ import annotations

import json
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

import yaml

from monitoring.rules.build import PROMETHEUS
from support.http_clients import blocking_http_client
from support.program import Program, started
from support.prometheus_server import LISTENING, PROMETHEUS_FLAGS, alertmanager
from support.tools import needs
from support.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

# For all waiting, from the start of the servers. The draw-down repeats: a round that is missed on a busy machine is
# followed by the next. Below pytest's own limit.
_DEMO_SECONDS: Final = 240.0


class Webhook:
    """An HTTP server that keeps every alert it receives, in order."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []
        received = self.alerts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received.extend(json.loads(body)["alerts"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    @contextmanager
    def running(self) -> Iterator[Webhook]:
        """Serve while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@dataclass(frozen=True, slots=True)
class MonitoredDemo:
    """The monitored demo: a client of Prometheus, the receiver of alerts, and the times of the start and to give up."""

    client: httpx.Client
    prometheus: Program
    webhook: Webhook
    since: float
    interval_seconds: float
    deadline: float

    def wait_for(self, condition: Callable[[], object], explain: Callable[[], str]) -> None:
        """Wait until a condition is true, for up to several rounds of the demo."""
        wait_for(condition, explain, self.deadline)

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the data of a response of Prometheus' API, which must have no error, warning or info."""
        response = self.client.get(path, params=parameters).json()
        assert "success" == response["status"], f"{path} {parameters}: {response}"
        # Prometheus 3 recognizes a counter by the end of its name; the names of recording rules end differently.
        infos = [
            info
            for info in response.get("infos", ())
            if "might not be a counter" not in info or '"account:' not in info
        ]
        assert [] == response.get("warnings", []) + infos, f"{path} {parameters}"
        return response["data"]

    def has_data(self, expression: str) -> bool:
        """Return whether an expression returns any series at any evaluation since the start."""
        span = {"start": self.since, "end": time.time(), "step": self.interval_seconds}
        return bool(self.get("/api/v1/query_range", query=expression, **span)["result"])


@contextmanager
def monitored_demo(
    folder: Path, rules: dict[str, dict[str, Any]], interval_seconds: float, *demo: str
) -> Iterator[MonitoredDemo]:
    """Run all four servers, the demo just before Prometheus, so that little of it is missed.

    Args:
        folder: an empty directory for files and data.
        rules: the rule files by name.
        interval_seconds: the interval of scrapes and evaluations.
        demo: the flags of the demo.
    """
    needs("prometheus")
    deadline = time.monotonic() + _DEMO_SECONDS
    with ExitStack() as running:
        webhook = running.enter_context(Webhook().running())
        # Every alert is sent at once, on its own; the sample's routes are tested elsewhere.
        at_once = {"group_by": ["..."], "group_wait": "0s", "group_interval": "1s", "repeat_interval": "1h"}
        receiver = {"name": "webhook", "webhook_configs": [{"url": webhook.url}]}
        _write(folder / "alertmanager.yml", {"route": {"receiver": "webhook", **at_once}, "receivers": [receiver]})
        alerts = running.enter_context(alertmanager(folder, folder / "alertmanager.yml"))
        alertmanager_address = alerts.wait_for(LISTENING, deadline)
        since = time.time()
        exporter = running.enter_context(started(folder, "demo", "--web.listen-address=127.0.0.1:0", *demo))
        running.callback(exporter.end, signal.SIGTERM)
        target = exporter.wait_for(r" url=http://(\S+)/metrics\n", deadline)
        for name, rule_file in rules.items():
            _write(folder / name, rule_file)
        _write(folder / "prometheus.yml", _configuration(list(rules), target, alertmanager_address, interval_seconds))
        prometheus = running.enter_context(started(folder, *PROMETHEUS_FLAGS, program="prometheus"))
        url = f"http://{prometheus.wait_for(LISTENING, deadline)}"
        client = running.enter_context(blocking_http_client(url))
        wait_for(lambda: client.get("/-/ready").is_success, lambda: prometheus.output, deadline)
        yield MonitoredDemo(client, prometheus, webhook, since, interval_seconds, deadline)


def _configuration(rules: list[str], target: str, alertmanager_address: str, interval_seconds: float) -> dict[str, Any]:
    """Return the sample configuration with shorter intervals, other rule files and the addresses of these servers."""
    sample = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    interval = f"{interval_seconds * 1000:.0f}ms"
    sample["global"] |= {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    sample["rule_files"] = rules
    sample["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [alertmanager_address]
    sample["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    assert isinstance(sample, dict)
    return sample


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
