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
    """Return the ConfigMap of the exporter itself."""
    [name] = [each["configMap"]["name"] for each in pod_of(objects)["volumes"] if each["name"] == "config"]
    [found] = [each for each in objects if each["kind"] == "ConfigMap" and each["metadata"]["name"] == name]
    return found


def arguments_of(objects: Sequence[Object], shard: int = 0, directory: str = DIRECTORY) -> list[str]:
    """Return the exporter's arguments in one of the pods; `directory` stands for the one that mounts are below."""
    pod = f"{only(objects, 'StatefulSet')['metadata']['name']}-{shard}"
    arguments = exporter_of(objects)["args"]
    return [each.replace("$(POD_NAME)", pod).replace(DIRECTORY, directory) for each in arguments]


def mount(
    objects: Sequence[Object], secrets: Mapping[str, Mapping[str, str]], root: Path, directory: str = DIRECTORY
) -> None:
    """Write below `root` what the kubelet would mount into the exporter's container, with the modes that it would have.

    Args:
        objects: what Helm has rendered.
        secrets: the content of each Secret.
        root: the container's root.
        directory: what the program will find `DIRECTORY` as.
    """
    mounts = {each["name"]: each["mountPath"] for each in exporter_of(objects)["volumeMounts"]}
    for volume in pod_of(objects)["volumes"]:
        for source in volume.get("projected", {}).get("sources", [volume]):
            if "secret" in source:
                data, items = secrets[source["secret"]["name"]], source["secret"].get("items")
            elif "configMap" in source:
                data, items = config_map_of(objects)["data"], source["configMap"].get("items")
            else:
                continue
            for item in items if items is not None else [{"key": key, "path": key} for key in data]:
                path = root / mounts[volume["name"]].lstrip("/") / item["path"]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(data[item["key"]].replace(DIRECTORY, directory), encoding="utf-8")
                path.chmod(volume.get("projected", {}).get("defaultMode", 0o644))
