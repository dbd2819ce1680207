"""Derives a pod from the chart's objects as Kubernetes would: its container, arguments and mounted files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DIRECTORY: Final = "/etc/binance-futures-exporter"

Object = dict[str, Any]


def only(objects: Sequence[Object], kind: str) -> Object:
    """Return the only object of a kind."""
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
    """Return the exporter's ConfigMap, which has the StatefulSet's name."""
    name = only(objects, "StatefulSet")["metadata"]["name"]
    [found] = [each for each in objects if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name]
    return found


def arguments_of(objects: Sequence[Object], shard: int = 0, directory: str = DIRECTORY) -> list[str]:
    """Return the exporter's arguments in one of the pods; `directory` replaces the directory of the mounts."""
    pod = f"{only(objects, 'StatefulSet')['metadata']['name']}-{shard}"
    arguments = exporter_of(objects)["args"]
    return [each.replace("$(POD_NAME)", pod).replace(DIRECTORY, directory) for each in arguments]


def mount(
    objects: Sequence[Object], existing: Mapping[str, Mapping[str, str]], root: Path, directory: str = DIRECTORY
) -> None:
    """Write the files that the kubelet would mount into the exporter's container, with their modes, below `root`.

    Args:
        objects: the rendered chart.
        existing: the content of each Secret, ConfigMap and SecretProviderClass that the chart does not create.
        root: the container's root directory.
        directory: the path that replaces `DIRECTORY`.
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
    """Return the name of a volume's source, and its items if it lists them."""
    if kind == "csi":
        return value["volumeAttributes"]["secretProviderClass"], None
    return value.get("name") or value["secretName"], value.get("items")
