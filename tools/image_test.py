"""Builds the image without a daemon and runs it as Kubernetes would: `make image-test`, as root on Debian.

buildah builds in a chroot, on a base image that mmdebstrap creates from Debian packages. bubblewrap runs the result
with a read-only root, without capabilities and without a network, as UID 10001, first alone, then with the arguments
and files of the chart. The Dockerfile is the usual one, on another base; what Docker and a kubelet add is not tested.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from exporter.simulator import demo_accounts
from exporter.simulator.server import PATH
from tools.paths import CHART, HELM, ROOT
from tools.pod import DIRECTORY, arguments_of, mount, pod_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

BASE: Final = ROOT / "build" / "image-test" / "base.tar"  # kept, because creating it takes a minute
SUITE: Final = "bookworm"
TOOLS: Final = ("buildah", "mmdebstrap", "bwrap", "setpriv", "nsenter", "curl")
UID: Final = 10001
REVISION: Final = "feature/0123456789abcdef"
SEED: Final = 1
TIMEOUT_SECONDS: Final = 60.0

Completed = subprocess.CompletedProcess[str]


def run(*command: str | Path, **more: Any) -> str:
    """Run a command that must succeed and return its output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **more)
    if done.returncode:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stdout}")
    return str(done.stdout).strip()


def base() -> Path:
    """Return an archive of a minimal Debian with Python, created by the first call."""
    if not BASE.exists():
        BASE.parent.mkdir(parents=True, exist_ok=True)
        unfinished = BASE.with_name("unfinished.tar")
        include = "--include=python3,python3-venv,ca-certificates"
        run("mmdebstrap", "--quiet", "--variant=minbase", include, SUITE, unfinished)
        unfinished.rename(BASE)
    return BASE


@dataclass(frozen=True, slots=True)
class Builder:
    """buildah with separate storage in `folder`."""

    folder: Path

    def __call__(self, *arguments: str | Path) -> str:
        """Run a buildah command."""
        storage = ("--storage-driver=vfs", "--root", self.folder / "storage", "--runroot", self.folder / "run")
        return run("buildah", *storage, *arguments, env={**os.environ, "BUILDAH_ISOLATION": "chroot"})

    def import_base(self) -> str:
        """Create the image `base` and return the version of its Python, such as "3.11"."""
        container = self("from", "scratch")
        self("add", "--quiet", container, base(), "/")
        version = self("run", container, "--", "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
        self("commit", "--quiet", container, "base")
        self("rm", container)
        return version

    def build(self, python: str) -> None:
        """Build the image `exporter`, with wheels that pip has downloaded for the Python of the base."""
        wheels = self.folder / "wheels"
        for locked in ("requirements.txt", "tools/requirements-build.txt"):
            options = (
                "--no-deps",
                "--require-hashes",
                "--only-binary=:all:",
                f"--python-version={python}",
                f"--dest={wheels}",
            )
            run(sys.executable, "-m", "pip", "download", "--quiet", *options, "--requirement", ROOT / locked)
        settings = self.folder / "pip.conf"
        settings.write_text("[global]\nno-index = true\nfind-links = /wheels\n", encoding="utf-8")
        volumes = (f"--volume={wheels}:/wheels:ro", f"--volume={settings}:/etc/pip.conf:ro")
        arguments = ("--build-arg=BASE=localhost/base", f"--build-arg=REVISION={REVISION}")
        self("build", "--isolation=chroot", *volumes, *arguments, "--tag=exporter", ROOT)

    def config(self) -> dict[str, Any]:
        """Return the image's configuration."""
        config: dict[str, Any] = json.loads(self("inspect", "--type=image", "exporter"))["OCIv1"]["config"]
        return config

    def unpack(self) -> Path:
        """Return a folder with the image's files, with their owners."""
        container = self("from", "exporter")
        root = self.folder / "root"
        run("cp", "--archive", self("mount", container), root)
        self("rm", container)
        return root


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Runs commands of the image as a hardened pod does, each with a separate network and /tmp."""

    root: Path
    config: dict[str, Any]

    def command(self, *arguments: str, **variables: str) -> list[str]:
        """Return the command line of a command with the image's environment and more variables."""
        environment = dict(pair.split("=", 1) for pair in self.config["Env"]) | variables
        user = ("--reuid", str(UID), "--regid", str(UID), "--clear-groups")
        nothing = ("--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
        view = ("--ro-bind", str(self.root), "/", "--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev")  # noqa: S108
        settings = [part for name, value in environment.items() for part in ("--setenv", name, value)]
        bwrap = ("bwrap", "--unshare-all", "--die-with-parent", "--clearenv", *settings, *view)
        return ["setpriv", *user, *nothing, *bwrap, "--", *arguments]

    def run(self, *arguments: str) -> Completed:
        """Run a command and wait until it exits."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)

    @contextmanager
    def started(self, *arguments: str, companion: str = "", **variables: str) -> Iterator[Callable[[str], str]]:
        """Run the image's entry point, optionally next to a companion; yield a function that requests a path."""
        program = (*self.config["Entrypoint"], *(arguments or self.config["Cmd"]))
        if companion:
            program = ("sh", "-c", f'{companion} & exec "$@"', "sh", *program)
        command = self.command(*program, **variables)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                yield lambda path: request(process.pid, path)
            finally:
                # The last one first: bwrap ends by itself only once all of its processes have started.
                for pid in reversed(family(process.pid)):
                    os.kill(pid, signal.SIGKILL)


def family(pid: int) -> list[int]:
    """Return the IDs of a process, its first child, the first child of that, and so on."""
    pids = [pid]
    while found := Path(f"/proc/{pids[-1]}/task/{pids[-1]}/children").read_text(encoding="ascii").split():
        pids.append(int(found[0]))
    return pids


def request(pid: int, path: str) -> str:
    """Request a path from the exporter below a process, in its network namespace; "" if it does not respond."""
    url = f"http://127.0.0.1:10427{path}"
    curl = ["nsenter", "--target", str(family(pid)[-1]), "--net", "--", "curl", "--silent", "--max-time", "5", url]
    return subprocess.run(curl, capture_output=True, text=True, check=False).stdout


def until(what: str, read: Callable[[], str], *patterns: str) -> str:
    """Wait until a text matches all patterns, and return it."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        text = read()
        if all(re.search(pattern, text) for pattern in patterns):
            print(f"ok: {what}")
            return text
        if time.monotonic() > deadline:
            sys.exit(f"FAILED: {what}: {patterns} not in\n{text[:2000]}")
        time.sleep(0.2)


def expect(what: str, expected: object, actual: object) -> None:
    """Exit if a value is not as expected."""
    if expected != actual:
        sys.exit(f"FAILED: {what}: expected {expected!r}, got {actual!r}")
    print(f"ok: {what}")


def check(config: dict[str, Any], sandbox: Sandbox) -> None:
    """Check the image's configuration, and that it runs."""
    expect("the image runs as a numeric user", f"{UID}:{UID}", config["User"])
    expect("it exposes its port", {"10427/tcp": {}}, config["ExposedPorts"])
    version = sandbox.run("binance-futures-exporter", "--version").stdout
    expect("the version has the revision of the build", [REVISION], re.findall(r"revision: ([\w/]+)", version))
    expect("without a key it exits with 2", 2, sandbox.run(*config["Entrypoint"], *config["Cmd"]).returncode)
    expect("pip is not installed", [], [*sandbox.root.glob("opt/exporter/**/pip")])
    looks = "import os; s = open('/proc/self/status').read(); print(os.getuid(), s.split('CapEff:')[1].split()[0])"
    expect("the process has no capabilities", f"{UID} {0:016x}", sandbox.run("python3", "-c", looks).stdout.strip())
    touch = sandbox.run("python3", "-c", "open('/opt/exporter/x', 'w')").stderr
    expect("the root file system is read-only", ["Read-only"], re.findall("Read-only", touch))
    with sandbox.started("demo") as get:
        wanted = [f'binance_futures_up{{account="{name}"}} 1' for name in ("main", "multi", "hedge", "isolated")]
        until("the demo exposes four accounts", lambda: get("/metrics"), *map(re.escape, wanted))
        until("its resident memory is below 128 MiB", lambda: within(get("/metrics"), 128 * 1024**2), "yes")
    key = {"BINANCE_API_KEY": "a" * 64, "BINANCE_SECRET_KEY": "b" * 64, "BINANCE_ENDPOINT": "ws://127.0.0.1:1"}
    with sandbox.started(**key) as get:
        until(
            "a key in the environment is sufficient",
            lambda: get("/metrics"),
            r'binance_futures_up{account="main"} 0',
        )
        until("it is healthy without the exchange", lambda: get("/-/healthy"), ".")


def check_pod(root: Path, sandbox: Sandbox) -> None:
    """Run the image with the chart's arguments and files, against a simulated exchange."""
    keys = {account.name: account for account in demo_accounts(SEED) if account.key_type == "HMAC"}
    accounts = [
        {"name": name, "secretName": f"binance-{name}", "api_key_file": "key", "secret_key_file": "secret"}
        for name in keys
    ]
    values = {"accounts": accounts, "config": {"binance": {"endpoint": f"ws://127.0.0.1:10428{PATH}"}}}
    rendered = run(HELM, "template", "desk", CHART, "--values=-", input=json.dumps(values))
    objects = [each for each in yaml.safe_load_all(rendered) if each]
    secrets = {f"binance-{name}": {"key": key.api_key, "secret": str(key.secret_key)} for name, key in keys.items()}
    mount(objects, secrets, root)
    for path in (root / DIRECTORY.lstrip("/")).rglob("*"):
        os.chown(path, 0, pod_of(objects)["securityContext"]["fsGroup"])  # as the kubelet does
    exchange = f"binance-futures-exporter simulate --seed {SEED} --listen-address 127.0.0.1:10428"
    with sandbox.started(*arguments_of(objects), companion=exchange) as get:
        wanted = [re.escape(f'binance_futures_up{{account="{name}"}} 1') for name in keys]
        until("a pod of the chart reads its keys and polls", lambda: get("/metrics"), *wanted)
        until("it is ready", lambda: get("/-/ready"), ".")


def within(metrics: str, most: int) -> str:
    """Return "yes" if the process uses at most a number of bytes, else "no"."""
    found = re.search(r"^process_resident_memory_bytes (\S+)$", metrics, re.MULTILINE)
    return f"{'yes' if found and float(found[1]) < most else 'no'}: {found[1] if found else metrics[:200]}"


def main(arguments: Sequence[str]) -> None:
    """Build, check and clean up; `--keep` keeps all files."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid():
        sys.exit(f"requires root and {', '.join(TOOLS)}; missing: {', '.join(missing) or 'root'}")
    # A folder that UID 10001 can access.
    folder = Path(tempfile.mkdtemp(prefix="image-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        builder = Builder(folder)
        builder.build(builder.import_base())
        config = builder.config()
        root = builder.unpack()
        check(config, Sandbox(root, config))
        check_pod(root, Sandbox(root, config))
    finally:
        if "--keep" not in arguments:
            shutil.rmtree(folder)
    print("all checks of the image passed")


if __name__ == "__main__":
    main(sys.argv[1:])
