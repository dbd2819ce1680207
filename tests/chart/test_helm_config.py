"""What the chart's pods run: the program accepts all of it, and answers probes and the test."""

from __future__ import annotations

import asyncio
import re
import ssl
import stat
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import bcrypt
import httpx
import pytest
import trustme
from support.config_files import pem
from support.helm_chart import CHART, FEATURES, configuration_of, feature, helm_test_of
from support.http_clients import http_client
from support.ports import closed_port
from support.program import started
from support.waiting import DEADLINE_SECONDS

from exporter.cli import main as cli
from exporter.cli.arguments import parse
from exporter.simulator import SimulatedAccount
from exporter.web import config as web_configuration
from tools.pod import DIRECTORY, arguments_of, config_map_of, exporter_of, mount, only, pod_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSPHRASE = "correct horse"
AUTHORITY = trustme.CA()


def at(folder: Path) -> str:
    """Return what the exporter finds its mounts as, where the container's root is a folder."""
    return str(folder / DIRECTORY.lstrip("/"))


def hmac_keys(prefix: str, seed: int) -> tuple[str, str]:
    """Return a made-up API key and its secret."""
    account = SimulatedAccount(prefix, "HMAC", seed=seed)
    assert account.secret_key
    return account.api_key, account.secret_key


def existing() -> dict[str, dict[str, str]]:
    """Return the Secrets, the ConfigMap and the SecretProviderClass that the files of ci/ refer to."""
    certificate = AUTHORITY.issue_cert("localhost", "127.0.0.1")
    main, other, desk = (hmac_keys(name, seed) for seed, name in enumerate(("main", "other", "desk")))
    users = {"prometheus": bcrypt.hashpw(b"password", bcrypt.gensalt(4)).decode()}
    web = "tls_server_config: {cert_file: tls/tls.crt, key_file: tls/tls.key}\n"
    return {
        "binance-main": {"api-key": main[0], "secret-key": main[1], "other.key": other[0], "other.secret": other[1]},
        "desk.a": {
            "api-key": desk[0],
            "key.pem": pem(PASSPHRASE.encode()).decode(),
            "passphrase": PASSPHRASE,
        },
        "exporter-tls": {
            "tls.crt": certificate.cert_chain_pems[0].bytes().decode(),
            "tls.key": certificate.private_key_pem.bytes().decode(),
            "ca.crt": AUTHORITY.cert_pem.bytes().decode(),
        },
        "exporter-web": {"web.yml": f"{web}basic_auth_users: {users}\n"},
        "binance": {"api-key": main[0], "secret-key": main[1]},
        "exporter-config": {
            "exporter.yml": "accounts: [{name: main, api_key_file: /keys/api-key, secret_key_file: /keys/secret-key}]\n"
        },
    }


def mounted(objects: Any, folder: Path) -> None:
    """Write what a pod finds in its mounts below a folder, and what an agent would write; make absolute paths match."""
    mount(objects, existing(), folder, at(folder))
    agent = folder / "vault" / "secrets"
    agent.mkdir(parents=True)
    for name, text in zip(("api-key", "secret-key", "other"), (*hmac_keys("main", 3), "made-up"), strict=True):
        (agent / name).write_text(text, encoding="utf-8")
        (agent / name).chmod(0o440)
    path = folder / DIRECTORY.lstrip("/") / "config" / "exporter.yml"
    if path.exists():
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"(_file: )(?=/(?:vault|keys)/)", rf"\1{folder}", text), encoding="utf-8")


POLLING = [
    name
    for name in FEATURES
    if "demo: true" not in (CHART / "ci" / f"{name}-values.yaml").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("_clean_environment")
@pytest.mark.parametrize("name", POLLING)
def test_configuration_is_good(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--config.check` accepts what a pod of each feature finds in its mounts, without a warning about keys."""
    objects = feature(name)
    mounted(objects, tmp_path)

    code = cli.run([*arguments_of(objects, directory=at(tmp_path)), "--config.check"])

    printed = capsys.readouterr()
    assert 0 == code, printed.err
    assert "readable by other users" not in printed.out + printed.err or name == "csi"  # the driver's modes are its own


@pytest.mark.parametrize("name", FEATURES)
def test_flags_are_known(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every flag that a pod is started with is in the command's --help, and its value is accepted."""
    arguments = arguments_of(feature(name))
    command = [arguments[0]] if not arguments[0].startswith("-") else []
    cli.run([*command, "--help"])
    printed = capsys.readouterr().out

    assert [] == [flag for flag in arguments[len(command) :] if f"  {flag.partition('=')[0]}" not in printed]
    assert (command or ["run"])[0] == parse(arguments, {})[0]


def test_shards_are_those_of_the_pods(tmp_path: Path) -> None:
    """Each pod reads its place among the shards from its own name."""
    objects = feature("shards")
    shards = [parse(arguments_of(objects, shard), {})[1] for shard in range(3)]

    assert 3 == only(objects, "StatefulSet")["spec"]["replicas"]
    assert [(0, 3), (1, 3), (2, 3)] == [(flags.shard, flags.total_shards) for flags in shards]
    assert {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}} in exporter_of(objects)[
        "env"
    ]


def test_shards_divide_the_weight_share() -> None:
    """Pods behind one IP get their part of the weight share; pods with an IP each, and a single one, all of it."""
    shares = [
        configuration_of(feature(name))["binance"]["weight_share"] for name in ("service-monitor", "distinct-egress")
    ]

    assert [0.5, 0.5] == shares
    assert pytest.approx(0.5 / 3) == configuration_of(feature("shards"))["binance"]["weight_share"]


def test_shards_divide_the_rest_weight_share() -> None:
    """Pods behind one IP get their part of the weight share of REST as well, if more than permissions is read."""
    binance = configuration_of(feature("rest"))["binance"]

    assert pytest.approx(0.2 / 2) == binance["rest_weight_share"]
    assert pytest.approx(0.5 / 2) == binance["weight_share"]
    assert "rest_weight_share" not in configuration_of(feature("shards"))["binance"]


def test_keys_may_be_elsewhere() -> None:
    """Absolute paths are used as they are and need no Secret; an existing ConfigMap replaces the configuration."""
    first, second = configuration_of(feature("vault"))["accounts"]
    csi, existing_map = pod_of(feature("csi")), feature("config-map")
    [config] = [each["configMap"] for each in pod_of(existing_map)["volumes"] if each["name"] == "config"]

    assert ("/vault/secrets/api-key", f"{DIRECTORY}/keys/binance-main/other.key", "/vault/secrets/other") == (
        first["api_key_file"],
        second["api_key_file"],
        second["secret_key_file"],
    )
    assert pod_of(feature("vault"))["automountServiceAccountToken"] is True
    assert ["tmp", "config", "csi"] == [each["name"] for each in csi["volumes"]]
    assert "exporter-config" == config["name"]
    assert {"web.yml"} == config_map_of(existing_map)["data"].keys()


def test_accounts_say_what_exporter_yml_can(tmp_path: Path) -> None:
    """An account's own settings reach exporter.yml as they are, and its keys come only from its Secret."""
    objects = feature("accounts")
    document = configuration_of(objects)
    folder = "/etc/binance-futures-exporter/keys"
    mount(objects, existing(), tmp_path, at(tmp_path))
    keys = tmp_path / folder.lstrip("/")

    assert {
        "name": "交易台",
        "api_key_file": f"{folder}/desk.a/api-key",
        "private_key_file": f"{folder}/desk.a/key.pem",
        "private_key_passphrase_file": f"{folder}/desk.a/passphrase",
        "asset_mode": "single",
        "poll": {"interval": "5s", "stale_after": "10s"},
        "binance": {"endpoint": "mainnet", "proxy": "socks5://proxy.egress.svc:1080"},
    } == document["accounts"][2]
    assert {"interval": "20s", "stale_after": "1m30s", "position_risk": False} == document["poll"]
    assert {
        "binance-main/api-key",
        "binance-main/other.key",
        "binance-main/other.secret",
        "binance-main/secret-key",
        "desk.a/api-key",
        "desk.a/key.pem",
        "desk.a/passphrase",
    } == {str(path.relative_to(keys)) for path in keys.rglob("*") if path.is_file()}
    assert {0o440} == {stat.S_IMODE(path.stat().st_mode) for path in keys.rglob("*") if path.is_file()}


def test_chart_writes_a_web_configuration(tmp_path: Path) -> None:
    """From a Secret with certificates the chart makes a web.yml that the exporter accepts, for clients' ones too."""
    for name in ("tls", "client-certificates", "passwords"):
        objects = feature(name)
        mount(objects, existing(), tmp_path / name, at(tmp_path / name))
        flags = parse(arguments_of(objects, directory=at(tmp_path / name)), {})[1]

        web = web_configuration.load(flags.web_config_file)

        assert web.tls is not None
        assert (ssl.CERT_REQUIRED if name == "client-certificates" else ssl.CERT_NONE) == web.tls.verify_mode
        assert (name == "passwords") == bool(web.users)
    assert {"web.yml"} == set(config_map_of(feature("client-certificates"))["data"])


@contextmanager
def demo_as_in(objects: Any, folder: Path) -> Iterator[int]:
    """Run the demo with a pod's arguments and mounts on a free port; yield the port."""
    mount(objects, existing(), folder, at(folder))
    arguments = [
        "--web.listen-address=127.0.0.1:0" if each.startswith("--web.listen-address") else each
        for each in arguments_of(objects, directory=at(folder))
    ]
    with started(folder, *arguments) as program:
        yield int(program.wait_for(r"https?://127\.0\.0\.1:(\d+)/metrics"))


def helm_test(objects: Any, port: int) -> subprocess.CompletedProcess[str]:
    """Run what `helm test` runs, against a port of this machine in the place of each pod's."""
    container = helm_test_of(objects)["spec"]["containers"][0]
    [address] = container["args"]
    service = "desk-binance-futures-exporter-0.desk-binance-futures-exporter.trading.svc:10427"
    assert service in address
    address = address.replace(service, f"127.0.0.1:{port}")
    # Do not wait: the pod is ready or not.
    command = [part.replace("PATIENCE_SECONDS = 60", "PATIENCE_SECONDS = 0") for part in container["command"][1:]]
    command = [sys.executable, *command, address]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["demo", "client-certificates"])
async def test_pod_answers_probes_and_the_test(name: str, tmp_path: Path) -> None:
    """The demo, run as a pod is, becomes ready, and then `helm test` succeeds; before anybody listens it fails."""
    objects = feature(name)
    with closed_port() as port:
        assert 0 != (await asyncio.to_thread(helm_test, objects, port)).returncode
    with demo_as_in(objects, tmp_path) as port:
        probe = exporter_of(objects)["readinessProbe"]
        async with asyncio.timeout(DEADLINE_SECONDS), http_client() as client:
            while not await answers(probe, port, client):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        done = await asyncio.to_thread(helm_test, objects, port)

        assert 0 == done.returncode, done.stderr


async def answers(probe: dict[str, Any], port: int, client: httpx.AsyncClient) -> bool:
    """Tell whether a probe of the kubelet's would succeed."""
    try:
        if "tcpSocket" in probe:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            await writer.wait_closed()
            return True
        get = probe["httpGet"]
        return (await client.get(f"{get['scheme'].lower()}://127.0.0.1:{port}{get['path']}")).is_success
    except (OSError, httpx.HTTPError):
        return False


def test_demo_needs_no_key() -> None:
    """The demo is one pod without configuration, keys or Secrets."""
    objects = feature("demo")

    assert 1 == only(objects, "StatefulSet")["spec"]["replicas"]
    assert "demo" == exporter_of(objects)["args"][0]
    assert ["tmp"] == [volume["name"] for volume in pod_of(objects)["volumes"]]
    assert [] == [each for each in objects if each["kind"] == "ConfigMap"]
