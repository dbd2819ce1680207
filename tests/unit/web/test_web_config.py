"""Files for --web.config.file: those of tests/data/config/web, each rule with its error, and secrets."""

from __future__ import annotations

import os
import re
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.config_files import key_files, leaks
from support.example_files import check, check_bad, place
from support.paths import DATA

from exporter.cli.main import run
from exporter.config.document import ConfigError
from exporter.web import tls
from exporter.web.config import load

if TYPE_CHECKING:
    from pathlib import Path

FILES = DATA / "config" / "web"
GOOD = sorted(path.name for path in (FILES / "good").iterdir())
BAD = sorted(path.name for path in (FILES / "bad").iterdir())


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every certificate, key and oddity that the files of tests/data/config/web name."""
    folder = tmp_path_factory.mktemp("material")
    authority = trustme.CA()
    server, other = authority.issue_cert("localhost"), authority.issue_cert("elsewhere")
    key = load_pem_private_key(server.private_key_pem.bytes(), None)
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - so weak that OpenSSL refuses it
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weak")])
    builder = x509.CertificateBuilder(name, name, weak.public_key(), 1)
    builder = builder.not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    weak_certificate = builder.not_valid_after(datetime(2120, 1, 1, tzinfo=UTC)).sign(weak, SHA256())
    certificate = b"".join(pem.bytes() for pem in server.cert_chain_pems)
    contents = {
        "server.crt": certificate,
        "server.key": server.private_key_pem.bytes(),
        "both.pem": server.private_key_pem.bytes() + certificate,
        "other.key": other.private_key_pem.bytes(),
        "encrypted.key": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")),
        "weak.crt": weak_certificate.public_bytes(Encoding.PEM),
        "weak.key": weak.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "ca.crt": authority.cert_pem.bytes(),
        "empty.crt": b"\n",
        "large.crt": b"x" * (1024 * 1024 + 1),
        "garbage.crt": b"no PEM\n",
    }
    for file, content in contents.items():
        (folder / file).write_bytes(content)
        (folder / file).chmod(0o600)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def exporter_yml(tmp_path: Path) -> Path:
    """A configuration of one account to go with a web configuration."""
    path = key_files(tmp_path)
    path.write_text("accounts: [{name: main, api_key_file: main.key, secret_key_file: main.secret}]")
    return path


@pytest.mark.parametrize("name", GOOD)
def test_good_file(name: str, material: Path, exporter_yml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A good file passes --config.check without any output on standard error."""
    web = place(FILES / "good" / name, material / "web.yml")

    assert (0, "") == check(capsys, f"--config.file={exporter_yml}", f"--web.config.file={web}")


@pytest.mark.parametrize("name", BAD)
def test_bad_file(name: str, material: Path, exporter_yml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bad file is rejected with exactly the errors in its comments, and no error repeats a secret."""
    file = FILES / "bad" / name
    web = place(file, material / "web.yml")
    output = check_bad(capsys, file, web, f"--config.file={exporter_yml}", f"--web.config.file={web}")
    secrets = [(material / key).read_text() for key in ("server.key", "other.key", "encrypted.key")]

    assert set() == leaks(output, [*secrets, *re.findall(r"\$2\S{57}", web.read_text())])
    assert "correct horse" not in output
    assert "sesame" not in output


@pytest.mark.parametrize("command", ["run", "demo"])
def test_missing_file(
    command: str,
    exporter_yml: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A web configuration that cannot be read is a usage error."""
    path = tmp_path / "missing.yml"
    monkeypatch.setenv("BINANCE_FUTURES_EXPORTER_WEB_CONFIG_FILE", str(path))
    code = run([command, *([f"--config.file={exporter_yml}"] if command == "run" else [])])

    assert 2 == code
    assert f"\n{path}: cannot be read: No such file or directory\n" in capsys.readouterr().err


def test_key_that_others_may_read(material: Path, tmp_path: Path) -> None:
    """A private key that every user of the machine may read is a warning."""
    for name in ("server.crt", "server.key"):
        shutil.copy(material / name, tmp_path / name)
    (tmp_path / "server.key").chmod(0o644)
    (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}")
    warnings = load(tmp_path / "web.yml").warnings

    place = f"{tmp_path / 'web.yml'}: tls_server_config.key_file"
    assert (f"{place}: server.key is readable by other users; run: chmod 600 server.key",) == warnings


@pytest.mark.parametrize(
    ("table", "name", "key", "problem"),
    [
        (
            "_SUITES",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
            "cipher_suites",
            "contains none that this host's OpenSSL supports",
        ),
        ("_CURVES", "X25519", "curve_preferences", "is not supported by this host's OpenSSL"),
    ],
)
def test_unsupported_by_openssl(
    table: str, name: str, key: str, problem: str, material: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suite or a curve that the machine's OpenSSL lacks is an error that says so."""
    monkeypatch.setitem(getattr(tls, table), name, "unheard-of")
    path = material / "lacking.yml"
    path.write_text(f"tls_server_config: {{cert_file: server.crt, key_file: server.key, {key}: [{name}]}}")
    with pytest.raises(ConfigError) as caught:
        load(path)

    assert f"{path}: tls_server_config.{key}: {problem}" == str(caught.value)


def test_secrets_are_not_shown(material: Path) -> None:
    """The representation of the settings shows no hashes or keys."""
    config = load(place(FILES / "good" / "users.yml", material / "web.yml"))

    assert 3 == len(config.users)
    assert "$04$" not in repr(config)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_any_damage_is_an_error_or_harmless(data: st.DataObject, material: Path) -> None:
    """However a certificate, a key or the file itself is damaged, loading it succeeds or lists problems."""
    folder = material / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / "web.yml").write_bytes((material / "both.pem").read_bytes())
    for name, text in (("server.crt", None), ("server.key", None), ("web.yml", (FILES / "good" / "tls.yml"))):
        content = bytearray((text or material / name).read_bytes())
        for _ in range(data.draw(st.integers(0, 3))):
            place = data.draw(st.integers(0, len(content) - 1))
            end = data.draw(st.integers(place, len(content)))
            content[place:end] = data.draw(st.binary(max_size=4))
            content = content or bytearray(b"\n")
        (folder / name).write_bytes(content)
    try:
        config = load(folder / "web.yml")
    except ConfigError as error:
        assert error.problems  # noqa: PT017 - both outcomes are right
    else:
        assert not config.users
