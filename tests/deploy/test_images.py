"""The images and the composition of a site: linted, without root, and of one mind with the settings."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.images.dockerfile import Stage, read_stages
from spineps_pacs import settings

ROOT = Path(__file__).parents[2]
IMAGES = (("Dockerfile", "node"), ("Dockerfile.orthanc", "orthanc"), ("Dockerfile.orthanc", "ohif"))


def stage(file: str, target: str, **chosen: str) -> Stage:
    return read_stages((ROOT / file).read_text(), chosen)[target]


def last(of: Stage, keyword: str) -> str:
    """What the last instruction of a kind says."""
    return [step.rest for step in of.steps if step.keyword == keyword][-1]


def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


@pytest.mark.real("hadolint")
@pytest.mark.parametrize("file", ["Dockerfile", "Dockerfile.orthanc"])
def test_hadolint_finds_nothing(file: str) -> None:
    """Not even a hint."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, ROOT / file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(("file", "target"), IMAGES)
def test_an_image_runs_without_root_and_tells_of_its_health(file: str, target: str) -> None:
    """A user by number, who is not root, and a command that asks the program itself."""
    made = stage(file, target)
    assert int(last(made, "USER")) > 1000
    assert "http://127.0.0.1:" in last(made, "HEALTHCHECK")


def test_a_build_argument_decides_between_cpu_and_cuda() -> None:
    """With an address torch comes from there, without one from the usual index."""
    made = stage("Dockerfile", "build", TORCH_INDEX="https://example.org/cpu")
    assert made.arguments == {"TORCH_INDEX": "https://example.org/cpu"}
    assert stage("Dockerfile", "build").arguments == {"TORCH_INDEX": ""}
    (first, *_) = [step.rest for step in made.steps if step.keyword == "RUN"]
    assert re.search(r"\$\{TORCH_INDEX:\+--index-url .*\} torch$", first)


def test_the_composition_names_what_is_there() -> None:
    """Each service is built by a stage that exists; each file that is mounted is one of ours, or the site's secret."""
    for name, service in services().items():
        build = service["build"]
        target = build.get("target", "node")
        assert (build.get("dockerfile", "Dockerfile"), target) in IMAGES, name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert not source.startswith("./deploy") or (ROOT / source).is_file()


def test_only_the_dicom_port_is_open_to_the_network() -> None:
    """Pages and REST are published to this machine's loopback; the node shares Orthanc's network and its loopback."""
    ports = [port for service in services().values() for port in service.get("ports", ())]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == ["4242:4242"]
    assert services()["node"]["network_mode"] == "service:orthanc"


def test_plugin_and_node_find_each_other() -> None:
    """The plugin lies where Orthanc's configuration says, and calls the port at which the node listens."""
    text = re.sub(r"^\s*//.*$", "", (ROOT / "deploy" / "orthanc.json").read_text(), flags=re.MULTILINE)
    orthanc = json.loads(text)
    node = settings.load(ROOT / "deploy" / "node.toml")
    copied = [step.words[-1] for step in stage("Dockerfile.orthanc", "orthanc").steps if step.keyword == "COPY"]
    assert orthanc["PythonScript"] in copied
    assert orthanc["Spineps"]["Node"] == f"http://127.0.0.1:{node.orthanc.listen_port}"
    assert node.orthanc.url == f"http://127.0.0.1:{orthanc['HttpPort']}"
    assert [d.kind for d in node.destination] == ["orthanc"]


def test_the_nodes_own_image_has_a_configuration_that_loads() -> None:
    """Data goes to the volume, and the page is where the health check asks."""
    inside = settings.load(ROOT / "config" / "container.toml")
    assert str(inside.node.data_folder) == "/data"
    assert f"127.0.0.1:{inside.web.port}/" in last(stage("Dockerfile", "node"), "HEALTHCHECK")
