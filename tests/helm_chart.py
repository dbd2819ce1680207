"""Rendering the chart: with both Helm versions, with each file of ci/, and what pods see of the result."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parent.parent
CHART: Final = ROOT / "helm" / "binance-futures-exporter"
BINARIES: Final = ROOT / "tools" / "bin"
HELM_VERSIONS: Final = ("3", "4")
FEATURES: Final = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
NAME: Final = "desk-binance-futures-exporter"
DIRECTORY: Final = "/etc/binance-futures-exporter"

Object = dict[str, Any]


def missing(what: str) -> None:
    """Skip, or under CI fail, where something cannot be had."""
    (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"{what} is missing: make chart-tools")


def helm(version: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a version of Helm, which asks no cluster and finds no settings of the user's."""
    binary = BINARIES / f"helm-{version}"
    if not binary.exists():
        missing(f"Helm {version}")
    return subprocess.run(
        [binary, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"},
    )


def rendered(version: str, *arguments: str | Path) -> list[Object]:
    """Return the objects that `helm template` makes of the chart."""
    done = helm(version, "template", "desk", CHART, "--namespace=trading", *arguments)
    assert 0 == done.returncode, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def refused(version: str, *arguments: str) -> str:
    """Return why Helm does not render the chart with these values."""
    done = helm(version, "template", "desk", CHART, "--namespace=trading", *arguments)
    assert 0 != done.returncode
    return done.stderr


@cache
def feature(name: str, version: str = HELM_VERSIONS[-1]) -> tuple[Object, ...]:
    """Return the objects of a file of ci/."""
    return tuple(rendered(version, "--values", CHART / "ci" / f"{name}-values.yaml"))


def every_feature() -> Iterator[tuple[str, Object]]:
    """Yield each object of each file of ci/, with the file's name."""
    for name in FEATURES:
        for each in feature(name):
            yield name, each


def only(objects: tuple[Object, ...] | list[Object], kind: str) -> Object:
    """Return the one object of a kind."""
    [found] = [each for each in objects if each["kind"] == kind]
    return found


def pod_of(objects: tuple[Object, ...] | list[Object]) -> Object:
    """Return the spec of the exporter's pods."""
    return dict(only(objects, "StatefulSet")["spec"]["template"]["spec"])


def exporter_of(objects: tuple[Object, ...] | list[Object]) -> Object:
    """Return the exporter's container."""
    container: Object = pod_of(objects)["containers"][0]
    return container


def configuration_of(objects: tuple[Object, ...] | list[Object]) -> Object:
    """Return the exporter.yml that the chart has made."""
    document: Object = yaml.safe_load(exporters_config_map(objects)["data"]["exporter.yml"])
    return document


def exporters_config_map(objects: tuple[Object, ...] | list[Object]) -> Object:
    """Return the ConfigMap of the exporter itself."""
    name = only(objects, "StatefulSet")["metadata"]["name"]
    [found] = [each for each in objects if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name]
    return found


def mount(objects: tuple[Object, ...] | list[Object], secrets: dict[str, dict[str, str]], folder: Path) -> None:
    """Write into a folder what the kubelet would mount into the exporter's container."""
    mounts = {each["name"]: each["mountPath"] for each in exporter_of(objects)["volumeMounts"]}
    for volume in pod_of(objects)["volumes"]:
        sources = volume.get("projected", {}).get("sources", [volume])
        for source in sources:
            if "secret" in source:
                data, items = secrets[source["secret"]["name"]], source["secret"].get("items")
            elif "configMap" in source:
                data, items = exporters_config_map(objects)["data"], source["configMap"]["items"]
            else:
                continue
            for item in items if items is not None else [{"key": key, "path": key} for key in data]:
                path = folder / mounts[volume["name"]].lstrip("/") / item["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                text = data[item["key"]].replace(DIRECTORY, str(folder / DIRECTORY.lstrip("/")))
                path.write_text(text, encoding="utf-8")
                path.chmod(volume.get("projected", {}).get("defaultMode", 0o644))


def arguments_of(objects: tuple[Object, ...] | list[Object], folder: Path, shard: int = 0) -> list[str]:
    """Return the exporter's arguments in a pod whose mounts are in a folder."""
    pod = f"{only(objects, 'StatefulSet')['metadata']['name']}-{shard}"
    return [
        argument.replace("$(POD_NAME)", pod).replace(DIRECTORY, str(folder / DIRECTORY.lstrip("/")))
        for argument in exporter_of(objects)["args"]
    ]
