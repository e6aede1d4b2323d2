"""What the resource says of process, machine and container, and what the environment adds."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.sdk.resources import ProcessResourceDetector

from clew import environment
from clew.recorder.resource import Resource, default_resource
from clew.recorder.resource.container import container_id_from_cgroup, container_id_from_mountinfo

ID = "6a8c3f0e9b7d4521c0ffee00112233445566778899aabbccddeeff0011223344"
POD = "f" * 64


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(environment, "_named", set())


def test_the_process_is_described_as_the_sdks_detector_describes_it() -> None:
    ours = default_resource("s").attributes
    theirs = dict(ProcessResourceDetector().detect().attributes)
    theirs.pop("process.owner", None)
    assert {key: ours.get(key) for key in theirs} == theirs
    assert ours["os.type"] == sys.platform
    assert ours["host.name"] == os.uname().nodename
    assert ours["host.arch"] in ("amd64", "arm64", os.uname().machine)
    assert ours["process.owner"]
    assert ours["telemetry.sdk.name"] == "clew"
    assert re.fullmatch(
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", ours["service.instance.id"]
    )


def test_arguments_of_the_command_are_not_told() -> None:
    assert not {"process.command_line", "process.command_args"} & set(default_resource("s").attributes)


def test_what_is_said_nearer_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=a,host.name=h,x=y%2Cz,%C3%BC=1")
    assert default_resource().attributes["service.name"] == "a"
    assert default_resource().attributes["host.name"] == "h"
    assert default_resource().attributes["x"] == "y,z"
    assert default_resource().attributes["ü"] == "1"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "b")
    assert default_resource().attributes["service.name"] == "b"
    made = default_resource(attributes={"service.name": "c", "x": 1}).attributes
    assert (made["service.name"], made["x"]) == ("c", 1)
    assert default_resource("d", {"service.name": "c"}).attributes["service.name"] == "d"


def test_one_malformed_pair_discards_the_whole_variable_and_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "good=1,malformed-here")
    assert "good" not in default_resource("s").attributes
    default_resource("s")
    assert caplog.text.count("malformed-here") == 1


def in_a_child(resource: Resource) -> dict[str, Any]:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, json.dumps({**resource.in_this_process().attributes, "really": os.getpid()}).encode())
        os._exit(0)
    os.close(write)
    with open(read, "rb") as pipe:
        told: dict[str, Any] = json.loads(pipe.read())
    os.waitpid(pid, 0)
    return told


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_has_its_own_ids_but_what_somebody_set_stays() -> None:
    made = in_a_child(default_resource("s"))
    assert made["process.pid"] == made["really"]
    assert made["process.parent_pid"] == os.getpid()
    named = in_a_child(default_resource("s", {"service.instance.id": "mine"}))
    assert named["service.instance.id"] == "mine"
    original = default_resource("s")
    assert in_a_child(original)["service.instance.id"] != original.attributes["service.instance.id"]
    assert "process.pid" not in in_a_child(Resource({"service.name": "s"}))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"12:perf_event:/docker/{ID}", ID),
        (f"11:devices:/system.slice/docker-{ID}.scope", ID),
        (f"1:name=systemd:/kubepods/burstable/pod2729839b-f5a2-4c0b-9aef-f4ac2a0c9d8e/{ID}", ID),
        (
            "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod27_29.slice/"
            f"cri-containerd-{ID}.scope",
            ID,
        ),
        (f"9:cpu:/kubepods/pod1/crio-{ID}.scope", ID),
        (f"0::/machine.slice/libpod-{ID}.scope/container", ID),
        (f"0::/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}", ID),
        (f"4:cpu:/docker/{POD}/docker/{ID}", ID),
        ("9:memory:/ecs/aa/ad62a36b0a5b4d1b9d3a1e6f0ce1a2f3-1234567890", "ad62a36b0a5b4d1b9d3a1e6f0ce1a2f3-1234567890"),
        ("0::/", None),
        ("0::/user.slice/user-1000.slice/session-3.scope", None),
        (f"1:name=systemd:/docker/{ID[:63]}", None),
        (f"1:name=systemd:/docker/{ID}0", None),
        ("no cgroup at all", None),
    ],
)
def test_a_containers_id_is_read_from_cgroups(line: str, expected: str | None) -> None:
    assert container_id_from_cgroup(["13:rdma:/\n", line + "\n"]) == expected


DOCKER = f"""\
535 534 0:52 / /proc rw,nosuid,nodev,noexec,relatime - proc proc rw
538 537 0:26 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate
540 533 8:1 /var/lib/docker/volumes/{POD}/_data /data rw,relatime - ext4 /dev/sda1 rw
541 533 8:1 /var/lib/docker/containers/{ID}/resolv.conf /etc/resolv.conf rw,relatime - ext4 /dev/sda1 rw
542 533 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw,relatime - ext4 /dev/sda1 rw
"""
PODMAN = f"""\
1068 1067 0:26 /user.slice/x/libpod /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw
1098 1063 0:25 /containers/storage/overlay-containers/{ID}/userdata/hostname /etc/hostname rw,nosuid - tmpfs tmpfs rw
"""
KUBERNETES = f"""\
1327 1301 8:1 /var/lib/kubelet/pods/2729839b/etc-hosts /etc/hosts rw,relatime - ext4 /dev/sda1 rw
1328 1301 8:1 /var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/{POD}/hostname /etc/hostname rw - ext4 /dev/sda1 rw
"""


@pytest.mark.parametrize(
    ("text", "expected"), [(DOCKER, ID), (PODMAN, ID), (KUBERNETES, None), ("", None), ("x\n", None)]
)
def test_a_containers_id_is_read_from_the_mounts_of_its_files(text: str, expected: str | None) -> None:
    assert container_id_from_mountinfo(text.splitlines(keepends=True)) == expected


_DETECT = """
import json, sys
import clew.recorder.resource as resource
before = "opentelemetry.sdk" in sys.modules
made = resource.default_resource("s")
print(json.dumps({"before": before, "after": "opentelemetry.sdk.resources" in sys.modules, **made.attributes}))
"""


def detected(names: str, path: str) -> tuple[dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _DETECT],
        env={**os.environ, "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": names, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told, done.stderr


@pytest.fixture
def installed(tmp_path: Any) -> str:
    """A folder that looks like an installed distribution with detectors."""
    info = tmp_path / "planets-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planets\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_resource_detector]\nplanet = planets:Planet\nbroken = planets:Broken\n"
    )
    (tmp_path / "planets.py").write_text(
        "from opentelemetry.sdk.resources import Resource, ResourceDetector\n"
        "class Planet(ResourceDetector):\n"
        "    def detect(self):\n"
        "        return Resource({'planet': 'mars', 'host.name': 'curiosity', 'service.name': 'rover'})\n"
        "class Broken(ResourceDetector):\n"
        "    def detect(self):\n"
        "        raise OSError('no such star')\n"
    )
    return str(tmp_path)


def test_installed_detectors_are_asked_and_only_then_the_sdk_is_loaded(installed: str) -> None:
    told, said = detected("planet,otel", installed)
    assert (told["planet"], told["host.name"], told["service.name"]) == ("mars", "curiosity", "s")
    assert (told["before"], told["after"]) == (False, True)
    assert said == ""
    told, said = detected("otel,process,os,host,service_instance", installed)
    assert not told["after"]
    assert said == ""


def test_a_detector_that_fails_or_is_not_installed_is_named_and_the_others_count(installed: str) -> None:
    told, said = detected("moon,broken,planet", installed)
    assert told["planet"] == "mars"
    assert "no such star" in said
    assert said.count("moon") == 1
    told, said = detected("*", installed)
    assert told["planet"] == "mars"


def test_a_machine_like_no_other_still_has_a_resource(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setattr(os, "uname", lambda: None)
    with caplog.at_level(logging.WARNING, "clew"):
        made = default_resource("s").attributes
    assert made["service.name"] == "s"
