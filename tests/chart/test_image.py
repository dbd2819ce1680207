"""The image and the workflows, as far as their files show; `make image-test` builds and runs the image."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.helm_chart import CHART, feature
from support.paths import ROOT

import exporter
from tools.image_test import TOOLS
from tools.pod import exporter_of, only, pod_of

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def instructions(name: str) -> list[str]:
    """Return the arguments of each instruction of a kind, lines put together."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)


def test_base_can_be_chosen() -> None:
    """Both stages have one base, a slim Python by its tag, which can be replaced without changing the file."""
    [first, *_] = instructions("ARG")

    assert re.fullmatch(r"BASE=python:3\.\d+-slim", first)
    assert DOCKERFILE.index("ARG BASE") < DOCKERFILE.index("FROM")
    assert ["${BASE} AS build", "${BASE}"] == instructions("FROM")


def test_everything_is_locked() -> None:
    """Only what is locked by hash or was built here is installed, and pip resolves no dependencies."""
    installing = re.findall(r"pip \S*(?: \S+)? ?install [^&\n]*", DOCKERFILE.replace("\\\n", " "))

    assert 3 == len(installing)
    assert [] == [line for line in installing if "--require-hashes" not in line and not line.endswith(" wheels/*.whl")]
    assert [] == [line for line in installing if "--no-deps" not in line]


def test_chart_runs_the_image_as_it_is_made() -> None:
    """The image's user, port and command are those that the chart expects."""
    objects = feature("demo")
    [user], [port] = instructions("USER"), instructions("EXPOSE")

    assert "{runAsUser}:{runAsGroup}".format(**pod_of(objects)["securityContext"]) == user
    assert [int(port)] == [each["containerPort"] for each in exporter_of(objects)["ports"]]
    assert f'BINANCE_FUTURES_EXPORTER_WEB_LISTEN_ADDRESS=":{port}"' in DOCKERFILE
    assert [f"--web.listen-address=:{port}"] == [
        flag for flag in exporter_of(objects)["args"] if flag.startswith("--web.listen-address")
    ]
    assert int(port) == only(objects, "Service")["spec"]["ports"][0]["port"]
    assert ['["binance-futures-exporter"]'] == instructions("ENTRYPOINT")


def test_context_contains_what_is_copied() -> None:
    """Every file that the Dockerfile copies exists, and .dockerignore admits these files and no others."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    copied = {path for line in instructions("COPY") if "--from" not in line for path in line.split()[:-1]}

    assert "*" == lines[1]
    assert copied == {line[1:] for line in lines if line.startswith("!")}
    assert [] == [path for path in copied if not (ROOT / path).exists()]


@pytest.mark.parametrize("revision", ["0123456789abcdef", "feature/shards", "v1.0-3-g01234567"])
def test_revision_can_be_written(revision: str, tmp_path: Path) -> None:
    """The Dockerfile writes a revision, or the name of a branch or tag, into the line that is meant for it."""
    [command] = [each for line in instructions("RUN") for each in line.split(" && ") if each.startswith("sed ")]
    (tmp_path / "exporter").mkdir()
    shutil.copy(ROOT / "exporter" / "__init__.py", tmp_path / "exporter")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, env={**os.environ, "REVISION": revision}, check=True)  # noqa: S607
    written = (tmp_path / "exporter" / "__init__.py").read_text(encoding="utf-8")

    assert "unknown" == exporter.__revision__
    assert [f'__revision__ = "{revision}"'] == re.findall("^__revision__.*", written, re.MULTILINE)


def test_missing_packages_are_named(tmp_path: Path) -> None:
    """Without root, the error names the Debian packages that contain the programs of the image's test."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n", encoding="utf-8")
    (tmp_path / "id").chmod(0o755)
    command = ["/bin/sh", "tests/tools.sh", *TOOLS]
    done = subprocess.run(command, cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    [packages] = re.findall(r"on Debian: apt-get install (.*) \(", done.stderr)

    assert {"buildah", "mmdebstrap", "bubblewrap", "util-linux", "curl"} == set(packages.split())


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_is_valid(path: Path) -> None:
    """Each workflow is valid by GitHub's own schema, and requests only the permissions that it needs."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", path],
        capture_output=True,
        text=True,
        check=False,
    )
    text = path.read_text(encoding="utf-8")
    workflow: dict[Any, Any] = yaml.safe_load(text)

    assert 0 == done.returncode, done.stdout
    assert {"contents": "read"} == workflow["permissions"]
    assert [] == [action for action in re.findall(r"uses: (\S+)", text) if not re.fullmatch(r"[\w/-]+@v\d+", action)]


def test_every_python_is_tested() -> None:
    """The workflow tests every version of Python that the package declares, from the oldest on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8"))
    declared = [re.fullmatch(r".* :: (3\.\d+)", each) for each in project["classifiers"]]

    assert {found[1] for found in declared if found} <= set(workflow["jobs"]["test"]["strategy"]["matrix"]["python"])
    assert f">={workflow['jobs']['test']['strategy']['matrix']['python'][0]}" == project["requires-python"]


def test_releases_are_of_one_version() -> None:
    """The versions of package and chart, with which the workflows compare a tag, are equal and in their lines."""
    chart = (CHART / "Chart.yaml").read_text(encoding="utf-8").splitlines()
    package = (ROOT / "exporter" / "__init__.py").read_text(encoding="utf-8").splitlines()

    assert f"version: {exporter.__version__}" in chart
    assert f'__version__ = "{exporter.__version__}"' in package
