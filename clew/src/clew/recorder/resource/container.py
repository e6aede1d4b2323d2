"""The id of the container this process runs in, read from the kernel's files; no container runtime is asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_CGROUP: Final = "/proc/self/cgroup"
_MOUNTINFO: Final = "/proc/self/mountinfo"

# The last part of a cgroup's path: 64 digits, perhaps between a runtime's prefix ("docker-", "cri-containerd-",
# "crio-", "libpod-") and the suffix of a systemd unit; 32 digits and a number on AWS Fargate.
_cgroup_part: Final = re.compile(
    r"(?:[a-z][a-z0-9_.:-]*[-:])?([0-9a-f]{64}|[0-9a-f]{32}-[0-9]{6,12})(?:\.scope|\.service)?", re.ASCII
).fullmatch
# The file a runtime mounts over /etc/hostname and its like lies in the container's own folder. Kubernetes' "sandboxes"
# are the pod's, not the container's, and so are not looked at.
_container_folder: Final = re.compile(
    r"/(?:overlay-)?containers/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)", re.ASCII
).search


def container_id() -> str | None:
    """The id of this process' container, `None` outside of one or where it cannot be told."""
    return container_id_from_cgroup(_lines(_CGROUP)) or container_id_from_mountinfo(_lines(_MOUNTINFO))


def container_id_from_cgroup(lines: Iterable[str]) -> str | None:
    """The id in `/proc/self/cgroup`, of version 1, or of version 2 if the process sees its host's cgroups."""
    for line in lines:
        # number:controllers:path
        parts = line.rstrip("\n").split(":", 2)
        if len(parts) != 3:
            continue
        # Of containers within containers the innermost is this process'.
        for part in reversed(parts[2].split("/")):
            match = _cgroup_part(part)
            if match:
                return match[1]
    return None


def container_id_from_mountinfo(lines: Iterable[str]) -> str | None:
    """The id in `/proc/self/mountinfo`: from the folder that the files in /etc are mounted from."""
    for line in lines:
        # id parent major:minor root mount-point options … (proc(5)); the root is the file as the host calls it.
        fields = line.split(" ", 5)
        if len(fields) < 6 or not fields[4].startswith("/etc/"):
            continue
        match = _container_folder(fields[3])
        if match:
            return match[1]
    return None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.readlines()
    except OSError:
        return []
