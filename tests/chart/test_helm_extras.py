"""What can be added to the pods, and that it neither undoes what the chart sets nor holds a secret."""

from __future__ import annotations

from typing import Any

import pytest
from support.helm_chart import HELM_VERSIONS, feature, refused, rendered
from support.helm_refusals import refusals

from exporter.cli.flags import FLAGS
from exporter.config import VARIABLES
from tools.pod import DIRECTORY, arguments_of, exporter_of

KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
FREE = {"--web.enable-lifecycle", "--web.disable-exporter-metrics"}
OWN = {flag.name: flag.variable for flag in FLAGS["run"] if flag.name not in FREE}


@pytest.mark.parametrize(("flag", "variable"), OWN.items())
def test_what_the_chart_sets_cannot_be_set_again(flag: str, variable: str) -> None:
    """A flag that the chart sets, or that would break probes or monitors, is refused, and so is its variable."""
    for argument in (flag, f"{flag}=1"):
        assert f"extraArgs[0]: {flag}: " in refused("4", values={"demo": True, "extraArgs": [argument]})
    complaint = refused("4", values={"demo": True, "extraEnv": [{"name": variable, "value": "1"}]})

    assert f"extraEnv[0] ({variable}): " in complaint


def test_flags_of_the_chart_are_among_the_refused() -> None:
    """Every flag that a pod is started with is one that cannot be given again."""
    flags = {each.partition("=")[0] for name in ("accounts", "tls") for each in arguments_of(feature(name))}

    assert {"--config.file", "--shard", "--total-shards", "--web.config.file"} < flags
    assert flags < set(OWN)


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_other_flags_and_variables_are_taken(version: str) -> None:
    """The flags that the chart leaves alone reach the pods, and so does any variable without a secret."""
    variables: list[dict[str, Any]] = [
        {"name": "HTTPS_PROXY", "value": "http://proxy.egress.svc:3128"},
        {"name": "NO_PROXY", "value": "localhost,.svc,10.0.0.0/8,ops@example.com"},
        {"name": "BINANCE_FUTURES_EXPORTER_WEB_ENABLE_LIFECYCLE", "value": "true"},
        {"name": "TRACE_ID", "value": KEY[:63]},
        {"name": "ALL_PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
    ]
    container = exporter_of(rendered(version, values={"demo": True, "extraArgs": sorted(FREE), "extraEnv": variables}))

    assert sorted(FREE) == container["args"][-2:]
    assert variables == container["env"][1:]


@pytest.mark.parametrize("name", [*VARIABLES, "BINANCE_PRIVATE_KEY"])
def test_variables_of_an_account_are_refused(name: str) -> None:
    """The variables of an exporter without a configuration file are refused, also when they come from a Secret."""
    reference = {"secretKeyRef": {"name": "binance", "key": "api-key"}}
    complaint = refused("4", values={"demo": True, "extraEnv": [{"name": name, "valueFrom": reference}]})

    assert f"extraEnv[0] ({name}): is for an exporter without a configuration file" in complaint


SECRETIVE: list[tuple[dict[str, Any], str]] = [
    (
        {"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://user:sesame@proxy:3128"}]},
        "extraEnv[0] (HTTPS_PROXY)",
    ),
    ({"extraEnv": [{"name": "HTTPS_PROXY", "value": "http://user:ses/ame@proxy:3128"}]}, "extraEnv[0]"),
    ({"extraEnv": [{"name": "ALL_PROXY", "value": "socks5://sesame@proxy:1080"}]}, "extraEnv[0] (ALL_PROXY)"),
    ({"extraEnv": [{"name": "A"}, {"name": "OTHER", "value": KEY}]}, "extraEnv[1] (OTHER)"),
    ({"extraEnv": [{"name": "OTHER", "value": f"key={KEY}"}]}, "extraEnv[0] (OTHER)"),
    ({"extraEnv": [{"name": "OTHER", "value": "-----BEGIN PRIVATE KEY-----\nsesame"}]}, "extraEnv[0] (OTHER)"),
    ({"extraEnv": [{"name": f"BINANCE_API_KEY={KEY}"}]}, "extraEnv[0].name"),
    ({"extraArgs": [f"--secret={KEY}"]}, "extraArgs[0]: holds"),
    ({"extraArgs": ["--proxy=http://user:sesame@proxy:3128"]}, "extraArgs[0]: holds"),
    ({"extraArgs": [KEY]}, "extraArgs[0]: must be a flag in one"),
    ({"extraArgs": ["--web.enable-lifecycle", "sesame"]}, "extraArgs[1]: must be a flag in one"),
    ({"config": {"binance": {"proxy": "http://user:sesame@proxy:3128"}}}, "config.binance.proxy: would show its"),
    ({"config": {"binance": {"endpoint": "wss://user:sesame@exchange"}}}, "config.binance.endpoint: must be"),
]
CASES = [{"demo": True, **added} for added, _ in SECRETIVE]


@pytest.mark.parametrize(("added", "complaint"), SECRETIVE)
def test_secret_in_what_is_added_is_refused_and_not_shown(added: dict[str, Any], complaint: str) -> None:
    """A password in a URL, or what looks like a key, is refused where it would stand in the pods, and not shown."""
    for refusal in refusals({"demo": True, **added}, CASES):
        assert complaint in refusal
        assert "sesame" not in refusal
        assert KEY[:16] not in refusal


@pytest.mark.parametrize(
    ("added", "complaint"),
    [
        ({"extraEnv": [{"name": "POD_NAME", "value": "a-0"}]}, 'extraEnv[0].name: "POD_NAME" is taken already'),
        ({"extraEnv": [{"name": "A"}, {"name": "A"}]}, 'extraEnv[1].name: "A" is taken already'),
        ({"extraVolumes": [{"name": "keys", "emptyDir": {}}]}, 'extraVolumes[0].name: "keys" is taken already'),
        ({"extraContainers": [{"name": "exporter"}]}, 'extraContainers[0].name: "exporter" is taken already'),
        (
            {"extraVolumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/a"}]},
            'extraVolumeMounts[1].mountPath: "/a" is taken already',
        ),
    ],
)
def test_what_is_taken_cannot_be_added(added: dict[str, Any], complaint: str) -> None:
    """A name or a path that a pod of the chart has already is refused where it would stand a second time."""
    assert complaint in refused("4", values={"demo": True, **added})


@pytest.mark.parametrize(
    ("path", "complaint"),
    [
        *(
            ("more", "must be a path from the root"),
            ("./a", "must be a path from the root"),
            ("/a:b", "without a colon"),
        ),
        *(("/tmp", "/tmp is"), ("/tmp/", "/tmp is"), (f"{DIRECTORY}/web", f"{DIRECTORY}/web is")),
        *((f"{DIRECTORY}/keys/", f"{DIRECTORY}/keys is"), (f"{DIRECTORY}/./keys/a/b", f"{DIRECTORY}/keys/a/b is")),
        (f"/a/../{DIRECTORY}/config", f"{DIRECTORY}/config is"),
    ],
)
def test_mount_over_what_is_mounted_is_refused(path: str, complaint: str) -> None:
    """Nothing can be mounted over, or into, the chart's own volumes, however the path is written, nor at no path."""
    mounts = [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": path}]
    told = refused("4", values={"demo": True, "extraVolumeMounts": mounts})

    assert "extraVolumeMounts[1].mountPath: " in told
    assert complaint in told


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_mount_beside_what_is_mounted_is_taken(version: str) -> None:
    """Anything can be mounted beside the chart's own volumes, and into the one that is writable."""
    paths = ["/tmp/cache", "/tmpx", f"{DIRECTORY}/keys2", f"{DIRECTORY}/more/", "/a b"]
    mounts = [{"name": "more", "mountPath": path} for path in paths]
    objects = rendered(version, values={"demo": True, "extraVolumeMounts": mounts})

    assert mounts == exporter_of(objects)["volumeMounts"][1:]


def test_variable_has_one_origin() -> None:
    """A variable with a value and a place to take it from is refused in words."""
    variable = {"name": "A", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    complaint = refused("4", values={"demo": True, "extraEnv": [variable]})

    assert "extraEnv[0] (A): has a value and a valueFrom: give it one of them" in complaint
