"""Rendering the chart: with both Helm versions, and with each file of ci/."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import yaml

from support.paths import ROOT
from support.tools import missing
from tools.pod import Object, config_map_of, only

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

CHART: Final = ROOT / "helm" / "binance-futures-exporter"
BINARIES: Final = ROOT / "tools" / "bin"
HELM_VERSIONS: Final = ("3", "4")
FEATURES: Final = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
NAME: Final = "desk-binance-futures-exporter"


def helm(version: str, *arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a version of Helm with some input, without a cluster and without the user's settings."""
    binary = BINARIES / f"helm-{version}"
    if not binary.exists():
        missing(f"Helm {version}", "chart-tools")
    # Without garbage collection, which a process of a tenth of a second and 100 MB does not need.
    user = {"HOME": "/nonexistent", "KUBECONFIG": "/nonexistent"}
    return subprocess.run(
        [binary, *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "GOGC": "off", **user},
    )


def template(
    version: str, arguments: Sequence[str | Path], values: Mapping[str, Any] | None, release: str
) -> subprocess.CompletedProcess[str]:
    """Render the chart with flags and, if given, values; the result is cached."""
    given = "" if values is None else json.dumps(values, ensure_ascii=False)
    return _template(version, tuple(map(str, arguments)), given, release)


@cache
def _template(version: str, arguments: tuple[str, ...], given: str, release: str) -> subprocess.CompletedProcess[str]:
    more = ["--values=-"] if given else []
    return helm(version, "template", release, CHART, "--namespace=trading", *arguments, *more, given=given)


def rendered(
    version: str, *arguments: str | Path, values: Mapping[str, Any] | None = None, release: str = "desk"
) -> list[Object]:
    """Return the objects that `helm template` makes of the chart."""
    done = template(version, arguments, values, release)
    assert 0 == done.returncode, done.stderr
    return documents(done.stdout)


def documents(text: str) -> list[Object]:
    """Return the objects in YAML; libyaml reads it ten times as fast as Python does."""
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


def refused(
    version: str, *arguments: str | Path, values: Mapping[str, Any] | None = None, release: str = "desk"
) -> str:
    """Return why Helm refuses to render the chart with these values."""
    done = template(version, arguments, values, release)
    assert 0 != done.returncode
    assert not re.search("nil pointer|reflect|error calling|wrong type|YAML parse error", done.stderr), done.stderr
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


def helm_test_of(objects: Sequence[Object]) -> Object:
    """Return the template of the pod that `helm test` runs."""
    template: Object = only(objects, "Job")["spec"]["template"]
    return template


def configuration_of(objects: Sequence[Object]) -> Object:
    """Return the exporter.yml that the chart has made."""
    document: Object = yaml.safe_load(config_map_of(objects)["data"]["exporter.yml"])
    return document
