"""Units and compositions agree on where data lies, on how long a stop may take, and on what follows a restart."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "config" / "systemd").glob("*.service"))
SCALE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
STOP_S = 40


def blocks(language: str) -> list[str]:
    """What stands in the fences of docs/scale.md."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", SCALE, flags=re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def unit(path: Path) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None, strict=False)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(path)
    return read


def ours(composition: dict[str, Any]) -> dict[str, Any]:
    """The services that run the node."""
    return {
        name: service
        for name, service in composition["services"].items()
        if service.get("image") == "spineps-pacs" or name == "node"
    }


def composed() -> dict[str, Any]:
    """The node's services of every composition."""
    here = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return ours(here) | ours(yaml.safe_load(blocks("yaml")[0]))


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_reload_at_the_wrong_moment_leaves_no_host_without_a_node(path: Path) -> None:
    """A death by SIGHUP is started again, which systemd would take for a clean end; so is every other one."""
    service = unit(path)["Service"]
    assert service["Restart"] == "on-failure"
    assert "SIGHUP" in service["RestartForceExitStatus"]
    assert int(service["TimeoutStopSec"]) >= STOP_S


def test_the_command_holds_early_signals_back() -> None:
    """What the units start is the function that does so first of all."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"spineps-pacs": "spineps_pacs.__main__:start"}


def test_a_worker_waits_for_the_shared_folder() -> None:
    """Its unit writes to the folder that docs/scale.md names, and does not start before it is mounted."""
    (folder,) = [tomllib.loads(text)["node"]["data_folder"] for text in blocks("toml") if "data_folder" in text]
    for path in UNITS:
        read = unit(path)
        assert folder in read["Service"]["ReadWritePaths"].split()
        assert folder in read["Unit"]["RequiresMountsFor"].split()


def test_a_container_has_time_to_put_its_work_down() -> None:
    """Docker's ten seconds are too few; a stop in the middle of an analysis would count as its death."""
    services = composed()
    assert set(services) == {"node", "receiver", "worker"}
    assert {name: service["stop_grace_period"] for name, service in services.items()} == dict.fromkeys(
        services, f"{STOP_S}s"
    )


def test_containers_write_where_the_image_lets_them() -> None:
    """The volume lies over the image's own /data, whose owner a fresh volume takes; all see the same models."""
    for name, service in composed().items():
        places = {volume.split(":")[1] for volume in service["volumes"]}
        assert {"/data", "/models"} <= places, name
        assert any(place.startswith("/etc/spineps-pacs") for place in places), name
    pod = yaml.safe_load(blocks("yaml")[1])["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/data", "/models", "/etc/spineps-pacs"}
    assert pod["securityContext"]["fsGroup"] == 10001
    assert pod["terminationGracePeriodSeconds"] >= STOP_S


def test_a_worker_is_not_called_ill_for_want_of_a_page() -> None:
    """The image's health check asks for the operator's page, which only the receiver has."""
    assert composed()["worker"]["healthcheck"] == {"disable": True}


def test_the_node_follows_the_network_that_it_shares() -> None:
    """When Orthanc's container is made anew, so is the node's."""
    node = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["node"]
    assert node["network_mode"] == "service:orthanc"
    assert node["depends_on"]["orthanc"] == {"condition": "service_healthy", "restart": True}
