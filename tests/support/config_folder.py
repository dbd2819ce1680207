"""A folder to write configurations and key files into, and to load them from."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from exporter.config.exporter_yml import Config, load
from support.config_files import API_KEY, SECRET_KEY

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Folder:
    """A folder with a configuration file and the key files of an HMAC account."""

    path: Path

    def __post_init__(self) -> None:
        self.write("api.key", API_KEY)
        self.write("secret.key", SECRET_KEY)

    def write(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        """Write a file that only its owner may read."""
        file = self.path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        file.chmod(mode)
        return file

    def load(self, document: str) -> Config:
        """Load `document`, indented as the test is."""
        return load(self.write("exporter.yml", textwrap.dedent(document)), {})

    def shorten(self, texts: tuple[str, ...]) -> list[str]:
        """Return `texts` without the configuration file's path."""
        return [text.replace(f"{self.path}/exporter.yml: ", "") for text in texts]
