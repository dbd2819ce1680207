"""What Kubernetes would make of the chart's objects for a pod: its container, its arguments and its mounted files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DIRECTORY: Final = "/etc/binance-futures-exporter"

Object = dict[str, Any]


def only(objects: Sequence[Object], kind: str) -> Object:
    """Return the one object of a kind."""
    [found] = [each for each in objects if each["kind"] == kind]
    return found


def pod_of(objects: Sequence[Object]) -> Object:
    """Return the spec of the exporter's pods."""
    return dict(only(objects, "StatefulSet")["spec"]["template"]["spec"])


def exporter_of(objects: Sequence[Object]) -> Object:
    """Return the exporter's container."""
    container: Object = pod_of(objects)["containers"][0]
    return container


def config_map_of(objects: Sequence[Object]) -> Object:
    """Return the ConfigMap that the chart made for the exporter, which has the StatefulSet's name."""
    name = only(objects, "StatefulSet")["metadata"]["name"]
    [found] = [each for each in objects if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name]
    return found


def arguments_of(objects: Sequence[Object], shard: int = 0, directory: str = DIRECTORY) -> list[str]:
    """Return the exporter's arguments in one of the pods; `directory` stands for the one that mounts are below."""
    pod = f"{only(objects, 'StatefulSet')['metadata']['name']}-{shard}"
    arguments = exporter_of(objects)["args"]
    return [each.replace("$(POD_NAME)", pod).replace(DIRECTORY, directory) for each in arguments]


def mount(
    objects: Sequence[Object], existing: Mapping[str, Mapping[str, str]], root: Path, directory: str = DIRECTORY
) -> None:
    """Write below `root` what the kubelet would mount into the exporter's container, with the modes that it would have.

    Args:
        objects: what Helm has rendered.
        existing: the content of each Secret, ConfigMap and SecretProviderClass that the chart does not make.
        root: the container's root.
        directory: the path that the program will find `DIRECTORY` at.
    """
    own = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    mounts = {each["name"]: each["mountPath"] for each in exporter_of(objects)["volumeMounts"]}
    for volume in pod_of(objects)["volumes"]:
        if volume["name"] not in mounts or "emptyDir" in volume:
            continue
        folder = root / mounts[volume["name"]].lstrip("/")
        for source in volume.get("projected", {}).get("sources", [volume]):
            [(name, items)] = [_source(kind, value) for kind, value in source.items() if kind != "name"]
            data = {**own, **existing}[name]
            for item in items if items is not None else [{"key": key, "path": key} for key in data]:
                path = folder / item["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(data[item["key"]].replace(DIRECTORY, directory), encoding="utf-8")
                path.chmod(volume.get("projected", volume.get("secret", {})).get("defaultMode", 0o644))


def _source(kind: str, value: Object) -> tuple[str, list[dict[str, str]] | None]:
    """Return what a volume's source is called, and its items if it names them."""
    if kind == "csi":
        return value["volumeAttributes"]["secretProviderClass"], None
    return value.get("name") or value["secretName"], value.get("items")
