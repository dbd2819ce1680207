"""compose.yaml: valid, its images pinned, its mounts present, and nothing open to the network."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml
from support.paths import ROOT
from support.tools import needs

from exporter.cli.flags import COMMANDS, FLAGS, VARIABLE_PREFIX
from exporter.config.keys import VARIABLES

COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: Final = COMPOSE["services"]
SCHEMA: Final = json.loads(
    (resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json").read_text(encoding="utf-8")
)


def test_it_is_a_compose_file() -> None:
    """It conforms to the published schema of Compose files."""
    jsonschema.validate(COMPOSE, SCHEMA)


@pytest.mark.parametrize(
    "wrong", [{"services": {"exporter": {"imagine": "x"}}}, {"services": {"exporter": {"ports": "10427"}}}]
)
def test_faults_are_found(wrong: dict[str, Any]) -> None:
    """The schema rejects an unknown key and a wrong type."""
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**COMPOSE, **wrong}, SCHEMA)


def test_images_are_pinned() -> None:
    """Every service has an image with a version, or is built from this project."""
    images = {name: service.get("image") for name, service in SERVICES.items()}

    assert {"exporter": None} == {name: image for name, image in images.items() if image is None}
    assert "." == SERVICES["exporter"]["build"]
    assert all(re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", image) for image in images.values() if image)


def test_only_loopback_is_served() -> None:
    """No port is published to the network."""
    ports = [port for service in SERVICES.values() for port in service["ports"]]

    assert len(SERVICES) == len(ports)
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_is_mounted_is_there() -> None:
    """Every file or folder that is mounted is part of the project and read-only, or is a declared volume."""
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]

    for source, _, *mode in mounts:
        if source.startswith("./"):
            assert ["ro"] == mode
            assert (ROOT / source).exists()
        else:
            assert source in COMPOSE["volumes"]


def test_grafana_has_what_its_provisioning_names() -> None:
    """Dashboards are mounted where the provider and the home page look for them, and Prometheus is found."""
    mounts = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    (provider,) = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/binance-futures.yml").read_text())[
        "providers"
    ]
    (source,) = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    assert provider["options"]["path"] == mounts["./grafana/dashboards"] == str(home.parent)
    assert (ROOT / "grafana/dashboards" / home.name).exists()
    assert "http://prometheus:9090" == source["url"]
    assert {"/etc/grafana/provisioning/datasources", "/etc/grafana/provisioning/dashboards"} <= set(mounts.values())


def test_prometheus_scrapes_the_exporter() -> None:
    """Its configuration of Prometheus scrapes where the exporter listens, under the job name of the rules."""
    inner = yaml.safe_load(COMPOSE["configs"]["prometheus"]["content"])
    (job,) = inner["scrape_configs"]
    listening = SERVICES["exporter"]["environment"][f"{VARIABLE_PREFIX}WEB_LISTEN_ADDRESS"]

    assert "binance-futures" == job["job_name"]
    assert [{"targets": [f"exporter{listening}"]}] == job["static_configs"]
    assert "$" not in COMPOSE["configs"]["prometheus"]["content"]


@pytest.mark.prometheus
def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    """`promtool check config` accepts the configuration in it."""
    needs("promtool")
    path = tmp_path / "prometheus.yml"
    path.write_text(COMPOSE["configs"]["prometheus"]["content"])
    promtool = subprocess.run(["promtool", "check", "config", str(path)], capture_output=True, text=True, check=False)  # noqa: S607 - found on PATH, as by make

    assert 0 == promtool.returncode, promtool.stderr


def test_exporter_reads_its_variables() -> None:
    """The command is the demo or that of accounts.env, and the exporter reads every variable that the file names."""
    sample = (ROOT / "accounts.env").read_text(encoding="utf-8")
    named = set(re.findall(r"^#?\s*([A-Z_]+)=", sample, re.MULTILINE)) - {"EXPORTER_COMMAND"}
    flags = {
        VARIABLE_PREFIX + flag.name.lstrip("-").upper().replace(".", "_").replace("-", "_") for flag in FLAGS["run"]
    }

    assert ["${EXPORTER_COMMAND:-demo}"] == SERVICES["exporter"]["command"]
    assert {"demo", "run"} <= COMMANDS.keys()
    assert "EXPORTER_COMMAND=run\n" in sample
    assert named <= flags | set(VARIABLES)
