"""Secrets pasted into the values are refused, and no message shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.helm_accounts import KEY, PEM, account
from support.helm_chart import HELM_VERSIONS, refused, rendered
from support.helm_refusals import refusals

from tools.pod import exporter_of

BASIC = {"username": {"name": "a", "key": "b"}, "password": {"name": "a", "key": "c"}}
WEB = {"existingSecret": "web", "tls": {"enabled": True}}
PASSWORD = "Sesame, open!"


def inside(path: str, secret: str) -> dict[str, Any]:
    """Return values with a secret at a path, and what else must be there for it."""
    values: dict[str, Any] = {
        "demo": True,
        "web": json.loads(json.dumps(WEB)),
        "imagePullSecrets": [{"name": "pull"}],
        "global": {"imagePullSecrets": ["pull"]},
        "serviceMonitor": {
            "basicAuth": json.loads(json.dumps(BASIC)),
            "tlsConfig": {"ca": {"configMap": {"name": "a", "key": "b"}}, "keySecret": {"name": "a", "key": "b"}},
        },
        "envFrom": [{"secretRef": {"name": "a"}}],
        "extraVolumes": [{"name": "a", "secret": {"secretName": "a"}}],
        "extraEnv": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}],
    }
    place: Any = values
    *parents, last = path.replace("[0]", ".0").split(".")
    for key in parents:
        place = place[int(key) if key == "0" else key]
    place[int(last) if last == "0" else last] = secret
    return values


PLACES = [
    *("web.existingSecret", "web.tls.secretName", "imagePullSecrets[0].name", "global.imagePullSecrets[0]"),
    *(f"serviceMonitor.basicAuth.{place}" for place in ("username.name", "password.name", "password.key")),
    *("serviceMonitor.tlsConfig.ca.configMap.name", "serviceMonitor.tlsConfig.keySecret.key"),
    *("extraEnv[0].valueFrom.secretKeyRef.name", "extraEnv[0].valueFrom.secretKeyRef.key"),
    *("envFrom[0].secretRef.name", "extraVolumes[0].secret.secretName"),
]
SECRETS = [PASSWORD, KEY, PEM]
PASTED = [inside(path, secret) for path in PLACES for secret in SECRETS]


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_names_are_accepted(version: str) -> None:
    """The values in which the tests below paste a secret are valid with a name."""
    assert rendered(version, values=inside(PLACES[0], "name"))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("path", PLACES)
def test_secret_in_the_place_of_a_name_is_not_shown(path: str, secret: str) -> None:
    """A password or key pasted in place of the name of its Secret is refused there, and not shown."""
    for refusal in refusals(inside(path, secret), PASTED):
        assert f"{path}: must be " in refusal
        for part in (PASSWORD[:6], KEY[:16], PEM.splitlines()[1]):
            assert part not in refusal


def test_keys_of_secrets_may_be_long() -> None:
    """A key of a Secret may have the up to 253 characters that Kubernetes allows, but not be an API key."""
    names = ["a_b.c-D", "x" * 63, "x" * 65, "x" * 253, f"{KEY}1.txt"]
    accounts = [account(f"account {index}", secret_key_file=name) for index, name in enumerate(names)]

    assert rendered("4", values={"accounts": accounts})
    for name in ("x" * 254, KEY):
        complaint = refused("4", values={"accounts": [account(secret_key_file=name)]})

        assert "accounts[0].secret_key_file: must be the name of a key in the Secret" in complaint


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_what_only_looks_long_is_taken(version: str) -> None:
    """Digests, checksums, addresses with an @ in their path and variables with a similar name are accepted."""
    variables = {
        "DIGEST": f"sha256:{'0a' * 32}",
        "CHECKSUM": "0a" * 32,
        "IMAGE": f"registry.example/a@sha256:{'0a' * 32}",
        "PAGE": "https://wiki.example:8443/@desk?of=a:b@c",
        "LINK": "https://user@example.com/x",
        "CONTACT": "mailto:ops@example.com",
        "CONTACTS": '{"mail":"ops@example.com","time":"10:30"}',
        "PINNED": f"nginx:1.25@sha256:{'0a' * 32}",
        "LONG": f"{KEY}{KEY}",
        "BINANCE_ACCOUNTING": "yes",
        "BINANCE_ENDPOINTS": "two",
    }
    given = [{"name": name, "value": value} for name, value in variables.items()]
    container = exporter_of(rendered(version, values={"demo": True, "extraEnv": given}))

    assert given == container["env"][1:]


def manifest(**more: Any) -> dict[str, Any]:
    """Return a Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, **more}


@pytest.mark.parametrize(
    "given",
    [
        manifest(data={"key": "c2VzYW1l"}),
        manifest(stringData={"key": "sesame"}),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {key: sesame}\n",
        {"apiVersion": "v1", "kind": "SecretList", "items": [{"stringData": {"key": "sesame"}}]},
        "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, stringData: {key: sesame}}\n",
        "kind: ConfigMap\n---\napiVersion: v1\nkind: '{{ print \"Secret\" }}'\ndata: {key: c2VzYW1l}",
    ],
)
def test_secret_among_manifests_is_refused(given: Any) -> None:
    """A Secret with data is refused among manifests, as an object or as text, and not shown."""
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"kind": "Secret"}}
    complaint = refused("4", values={"demo": True, "extraManifests": [config_map, given]})

    assert "extraManifests[1]: is a Secret with data" in complaint
    assert "sesame" not in complaint
    assert "c2VzYW1l" not in complaint


@pytest.mark.parametrize("version", HELM_VERSIONS)
def test_what_makes_a_secret_may_be_a_manifest(version: str) -> None:
    """An empty Secret, which a controller fills in, a sealed one and another kind with items may be among manifests."""
    sealed = {"apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "a"}, "spec": {}}
    items = {
        "apiVersion": "example.com/v1",
        "kind": "RotatedSecret",
        "items": ["a", {"kind": "Secret", "data": {"a": "b"}}],
    }
    objects = rendered(version, values={"demo": True, "extraManifests": [manifest(), sealed, items]})

    assert [manifest(), items, sealed] == [each for each in objects if each["kind"].endswith("Secret")]
