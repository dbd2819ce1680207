"""prometheus_client's server over the same series as Gauges: prints its URL, and serves until standard input ends."""

from __future__ import annotations

import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, disable_created_metrics, start_http_server
from prometheus_client.parser import text_fd_to_metric_families


def main(file: Path) -> None:
    """Serve the gauges and counters of an exposition."""
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    with file.open(encoding="utf-8") as text:
        for family in text_fd_to_metric_families(text):
            if family.type == "histogram":
                continue
            gauge: Gauge | None = None
            for sample in family.samples:
                gauge = gauge or Gauge(sample.name, family.documentation, list(sample.labels), registry=registry)
                (gauge.labels(**sample.labels) if sample.labels else gauge).set(sample.value)
    server, thread = start_http_server(0, "127.0.0.1", registry)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    sys.stdin.read()
    server.shutdown()
    thread.join()
    server.server_close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
