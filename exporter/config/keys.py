"""An account's credentials, from its key files or from environment variables.

Every secret read here is hidden from the log at once; no problem quotes any part of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from exporter import redaction
from exporter.binance.signing import Credentials, KeyProblem, Secret
from exporter.config.document import Findings, InvalidValue, Reader
from exporter.config.files import Files, read_named_file
from exporter.config.key_shape import decode_base64, explain_mistake, restore_pem, without_names
from exporter.config.time_limit import TimeLimit
from exporter.config.values import file_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KeyParts: TypeAlias = tuple[Secret, Secret, Secret | None]  # API key, PEM, passphrase

# For one account without a file: BINANCE_ and the key in capitals.
VARIABLES: Final = tuple(
    f"BINANCE_{name}"
    for name in (
        "ACCOUNT",
        "ENDPOINT",
        "API_KEY",
        "API_KEY_FILE",
        "SECRET_KEY",
        "SECRET_KEY_FILE",
        "PRIVATE_KEY_FILE",
        "PRIVATE_KEY_PASSPHRASE_FILE",
    )
)
_FILES: Final = ("api_key_file", "secret_key_file", "private_key_file", "private_key_passphrase_file")
_LARGEST_KEY_FILE: Final = 64 * 1024


class Environment(Reader):
    """The `VARIABLES` that are set and not empty, as a mapping with the keys of an account in a file."""

    def __init__(self, environ: Mapping[str, str], findings: Findings) -> None:
        variables = {name: environ[name] for name in VARIABLES if environ.get(name)}
        values = {name.removeprefix("BINANCE_").lower(): value for name, value in variables.items()}
        super().__init__(values, "", findings)
        self.names = tuple(variables)

    def spell(self, key: str) -> str:
        """Return the variable's name."""
        return f"BINANCE_{key.upper()}"


@dataclass(frozen=True, slots=True)
class KeyLoader:
    """Loads private keys for one configuration, reusing those of the previous one: loading takes 30 to 200 ms each.

    A private key is reused if API key, PEM and passphrase are the same.
    """

    previous: Mapping[KeyParts, Credentials] = field(default_factory=dict, repr=False)
    loaded: dict[KeyParts, Credentials] = field(default_factory=dict, repr=False)
    limit: TimeLimit = field(default_factory=TimeLimit, repr=False)  # for reading all files

    def load(self, api_key: Secret, pem: Secret, passphrase: Secret | None) -> Credentials:
        """Return the credentials with a private key.

        Raises:
            KeyProblem: the key cannot be used.
        """
        parts = api_key, pem, passphrase
        if parts not in self.loaded:
            self.loaded[parts] = self.previous.get(parts) or Credentials.private_key(*parts)
        return self.loaded[parts]


class CredentialSource:
    """An account's credentials, and the files that they come from, to read them again when a file changes.

    Kubernetes rotates secrets in place, by changing a symbolic link to a directory. `credentials` is None after a
    problem.

    Args:
        reader: the mapping with the names of the files.
        folder: the folder that relative names refer to.
        loader: loads private keys.
    """

    def __init__(self, reader: Reader, folder: Path, loader: KeyLoader) -> None:
        self._reader = reader
        self._files = Files(folder, loader.limit)
        self.credentials = _read_credentials(reader, self._files, loader)

    def reread(self) -> Credentials | None:
        """Return the credentials if a file has changed since the files were last read, else None.

        Raises:
            KeyProblem: the new content cannot be used; the text says where and why.
        """
        try:
            if self._files.changed() is None:
                return None
        except InvalidValue as error:
            raise KeyProblem(str(error)) from None
        findings, self._files = Findings(), Files(self._files.folder)
        credentials = _read_credentials(self._reader.with_findings(findings), self._files, KeyLoader())
        if findings.problems:
            raise KeyProblem("; ".join(map(str, findings.problems)))
        return credentials


def _read_credentials(reader: Reader, files: Files, loader: KeyLoader) -> Credentials | None:
    """Return the credentials that `reader` names; None after a problem."""
    api_key = _read_token(reader, "api_key", files)
    with_hmac, with_pem = _has_token(reader, "secret_key"), reader.has("private_key_file")
    with_passphrase = reader.has("private_key_passphrase_file")
    secret_key = _read_token(reader, "secret_key", files) if with_hmac else None
    pem = _read_pem(reader, files) if with_pem else None
    passphrase = _read_secret(reader, "private_key_passphrase_file", files) if with_passphrase else None
    pem_key = reader.spell("private_key_file")
    if not with_hmac and not with_pem:
        reader.add_problem(_usual_key(reader, "secret_key"), f"is missing: set it (HMAC) or {pem_key} (Ed25519, RSA)")
    if with_hmac and with_pem:
        reader.add_problem("private_key_file", "must not be set together with an HMAC secret")
    if with_passphrase and not with_pem:
        reader.add_problem("private_key_passphrase_file", f"requires {pem_key}")
    if secret_key and api_key:
        if secret_key == api_key:
            place = "secret_key" if reader.has("secret_key") else "secret_key_file"
            reader.add_problem(place, "is identical to the API key, must be its secret")
        return Credentials.hmac(api_key, secret_key)
    if pem and (passphrase or not with_passphrase):
        try:
            # Even without an API key, which is already a problem, so that this key's problems are also reported.
            return loader.load(api_key or Secret(""), pem, passphrase)
        except KeyProblem as error:
            reason = str(error).replace("private_key_passphrase_file", reader.spell("private_key_passphrase_file"))
            reader.add_problem("private_key_file", f"{_name_of_file(reader, 'private_key_file')} {reason}")
    return None


def _has_token(reader: Reader, key: str) -> bool:
    return reader.has(f"{key}_file") or (isinstance(reader, Environment) and reader.has(key))


def _usual_key(reader: Reader, key: str) -> str:
    """Return the key under which a missing token is reported: the environment may hold the token itself."""
    return key if isinstance(reader, Environment) else f"{key}_file"


def _name_of_file(reader: Reader, key: str) -> str:
    return reader.take(key, file_name, "")


def _read_token(reader: Reader, key: str, files: Files) -> Secret | None:
    """Return the API key or the secret key, from its file or its variable; None after a problem."""
    place = f"{key}_file"
    if isinstance(reader, Environment) and reader.has(key):
        if reader.has(place):
            reader.add_problem(place, f"must not be set together with {reader.spell(key)}")
        place = key
        secret: Secret | None = _hide(reader.take(key, str, ""), is_token=True)
    else:
        secret = _read_secret(reader, place, files)
    if not reader.has(place):
        reader.add_problem(_usual_key(reader, key), "is missing")
    if secret is None:
        return None
    text = secret.reveal()
    if _is_pem(secret):
        pem_key = reader.spell("private_key_file")
        reader.add_problem(place, f"must not be a PEM; set {pem_key} for a private key")
    elif not text or not text.isascii() or not text.isprintable() or " " in text:
        mistake = explain_mistake(text) if text else None
        reader.add_problem(
            place, f"must be a single line of printable ASCII without spaces{f'; {mistake}' if mistake else ''}"
        )
    else:
        if mistake := explain_mistake(text):
            reader.findings.add_warning(reader.path_of(place), mistake)
        return secret
    return None


def _read_pem(reader: Reader, files: Files) -> Secret | None:
    content = _read_secret(reader, "private_key_file", files)
    if content is None:
        return None
    pem = _hide(restore_pem(content.reveal()), is_token=False)
    if _is_pem(pem):
        return pem
    if "-----BEGIN" in (decode_base64(content.reveal()) or ""):
        mistake = "is a base64-encoded PEM: decode it"
    else:
        mistake = f"is not a PEM; set {reader.spell('secret_key_file')} for the secret of an HMAC key"
    reader.add_problem("private_key_file", f"{_name_of_file(reader, 'private_key_file')} {mistake}")
    return None


def _is_pem(secret: Secret) -> bool:
    return "-----BEGIN" in secret.reveal()


def _read_secret(reader: Reader, key: str, files: Files) -> Secret | None:
    """Return the content of the file that `key` names; None after a problem."""
    file = read_named_file(reader, key, files, _LARGEST_KEY_FILE, is_secret=True, hides_bare_name=True)
    if file is None:
        return None
    try:
        text = file.content.decode("utf-8-sig")
    except UnicodeDecodeError:
        reader.add_problem(key, f"{file.name} is not UTF-8 text")
        return None
    return _hide(text, is_token=key in {"api_key_file", "secret_key_file"})


def _hide(text: str, *, is_token: bool) -> Secret:
    """Keep a text out of every log line and error from now on."""
    text = text.strip()
    redaction.hide(without_names(text) if is_token else text)
    return Secret(text)
