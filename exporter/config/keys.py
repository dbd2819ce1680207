"""An account's credentials from its key files, or from the variables of the environment.

Every text read here is hidden from the log at once; no problem holds any part of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from exporter import redaction
from exporter.binance.signing import Credentials, KeyProblem, Secret
from exporter.config.document import Findings, Invalid, Reader
from exporter.config.files import Files, TimeLimit, UnreadableFile
from exporter.config.key_shape import decode_base64, explain_mistake, restore_pem, without_names
from exporter.config.values import file_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KeyParts: TypeAlias = tuple[Secret, Secret, Secret | None]  # API key, PEM, passphrase

# The account that needs no file: BINANCE_ and the key, in capitals.
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
    """The `VARIABLES` that are set and not empty, as a mapping with an account's keys."""

    def __init__(self, environ: Mapping[str, str], findings: Findings) -> None:
        found = {name: environ[name] for name in VARIABLES if environ.get(name)}
        super().__init__({name.removeprefix("BINANCE_").lower(): found[name] for name in found}, "", findings)
        self.names = tuple(found)

    def spell(self, key: str) -> str:
        """Return the variable's name."""
        return f"BINANCE_{key.upper()}"


@dataclass(frozen=True, slots=True)
class _Folder:
    path: Path
    files: Files


@dataclass(frozen=True, slots=True)
class KeyLoader:
    """Loads private keys for one configuration, reusing those of the previous one: loading takes 30 to 200 ms each.

    What is reused is the same API key, PEM and passphrase.
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


class KeyFiles:
    """The credentials that `reader` names, paths relative to `folder`, and their files, to be read again on changes.

    `credentials` is None after a problem. Kubernetes rotates secrets in place, by a symbolic link to another directory.
    """

    def __init__(self, reader: Reader, folder: Path, loader: KeyLoader) -> None:
        self._reader, self._folder = reader, folder
        self._files = Files(loader.limit)
        self.credentials = _read_credentials(reader, _Folder(folder, self._files), loader)

    def reread(self) -> Credentials | None:
        """Return the credentials if a file has changed since the files were last read, else None.

        Raises:
            KeyProblem: what the files hold now cannot be used; the text says where and why.
        """
        try:
            if self._files.changed() is None:
                return None
        except Invalid as error:
            raise KeyProblem(str(error)) from None
        findings, self._files = Findings(), Files()
        folder = _Folder(self._folder, self._files)
        credentials = _read_credentials(self._reader.anew(findings), folder, KeyLoader())
        if findings.problems:
            raise KeyProblem("; ".join(map(str, findings.problems)))
        return credentials


def _read_credentials(reader: Reader, folder: _Folder, loader: KeyLoader) -> Credentials | None:
    """Return the credentials that `reader` names; None after a problem."""
    api_key = _token(reader, "api_key", folder)
    with_hmac, with_pem = _given(reader, "secret_key"), reader.has("private_key_file")
    with_passphrase = reader.has("private_key_passphrase_file")
    secret_key = _token(reader, "secret_key", folder) if with_hmac else None
    pem = _pem(reader, folder) if with_pem else None
    passphrase = _file(reader, "private_key_passphrase_file", folder) if with_passphrase else None
    pem_key = reader.spell("private_key_file")
    if not with_hmac and not with_pem:
        reader.problem(_first_place(reader, "secret_key"), f"is missing: set it (HMAC) or {pem_key} (Ed25519, RSA)")
    if with_hmac and with_pem:
        reader.problem("private_key_file", "must not be set together with an HMAC secret")
    if with_passphrase and not with_pem:
        reader.problem("private_key_passphrase_file", f"only goes with {pem_key}")
    if secret_key and api_key:
        if secret_key == api_key:
            place = "secret_key" if reader.has("secret_key") else "secret_key_file"
            reader.findings.warn(reader.where(place), "this is the API key itself, not its secret")
        return Credentials.hmac(api_key, secret_key)
    if pem and (passphrase or not with_passphrase):
        try:
            # Also without an API key, whose problem is found already, to find this key's problems.
            return loader.load(api_key or Secret(""), pem, passphrase)
        except KeyProblem as error:
            what = str(error).replace("private_key_passphrase_file", reader.spell("private_key_passphrase_file"))
            reader.problem("private_key_file", f"{reader.take('private_key_file', file_name, '')} {what}")
    return None


def _given(reader: Reader, key: str) -> bool:
    return reader.has(f"{key}_file") or (isinstance(reader, Environment) and reader.has(key))


def _first_place(reader: Reader, key: str) -> str:
    return key if isinstance(reader, Environment) else f"{key}_file"


def _token(reader: Reader, key: str, folder: _Folder) -> Secret | None:
    """Return the API key or the secret key, from its file or its variable; None after a problem."""
    place = f"{key}_file"
    if isinstance(reader, Environment) and reader.has(key):
        if reader.has(place):
            reader.problem(place, f"must not be set together with {reader.spell(key)}")
        place = key
        secret: Secret | None = _hidden(reader.take(key, str, ""), is_token=True)
    else:
        secret = _file(reader, place, folder)
    if not reader.has(place):
        reader.problem(_first_place(reader, key), "is missing")
    if secret is None:
        return None
    text = secret.reveal()
    if _is_pem(secret):
        pem_key = reader.spell("private_key_file")
        reader.problem(place, f"must not be a PEM: a private key goes in {pem_key}")
    elif not text or not text.isascii() or not text.isprintable() or " " in text:
        mistake = explain_mistake(text) if text else None
        reader.problem(place, f"must be one word of printable ASCII characters{f'; {mistake}' if mistake else ''}")
    else:
        if mistake := explain_mistake(text):
            reader.findings.warn(reader.where(place), mistake)
        return secret
    return None


def _pem(reader: Reader, folder: _Folder) -> Secret | None:
    content = _file(reader, "private_key_file", folder)
    if content is None:
        return None
    pem = _hidden(restore_pem(content.reveal()), is_token=False)
    if _is_pem(pem):
        return pem
    shown = reader.take("private_key_file", file_name, "")
    if "-----BEGIN" in (decode_base64(content.reveal()) or ""):
        what = "is the base64 of a PEM: decode it"
    else:
        what = f"is not a PEM: the secret of an HMAC key goes in {reader.spell('secret_key_file')}"
    reader.problem("private_key_file", f"{shown} {what}")
    return None


def _is_pem(secret: Secret) -> bool:
    return "-----BEGIN" in secret.reveal()


def _file(reader: Reader, key: str, folder: _Folder) -> Secret | None:
    """Return the content of the file that `key` names; None after a problem."""
    shown = reader.take(key, file_name, None)
    if shown is None:
        return None
    try:
        file = folder.files.read(folder.path / shown, _LARGEST_KEY_FILE)
        secret = _hidden(file.content.decode("utf-8-sig"), is_token=key in {"api_key_file", "secret_key_file"})
    except UnreadableFile as error:
        # A secret pasted where the name of its file belongs must not be shown; it has neither a folder nor a suffix.
        name = shown if "/" in shown or "." in shown else "the file (a name without / or . is not shown)"
        reader.problem(key, f"cannot read {name}: {error}")
    except UnicodeDecodeError:
        reader.problem(key, f"{shown} is not UTF-8 text")
    except Invalid as error:
        reader.problem(key, f"{shown} {error}")
    else:
        if file.readable_by_others:
            reader.findings.warn(reader.where(key), f"others may read {shown}: chmod 600 {shown}")
        if secret.reveal():
            return secret
        reader.problem(key, f"{shown} is empty")
    return None


def _hidden(text: str, *, is_token: bool) -> Secret:
    text = text.strip()
    redaction.hide(without_names(text) if is_token else text)
    return Secret(text)
