"""How the plugin finds the node: by the node's own configuration, or by an address; a stand-in for Orthanc's module."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PLUGIN = Path(__file__).parents[2] / "orthanc" / "plugin.py"


class FakeOrthanc(ModuleType):
    """As much of Orthanc's module as loading the plugin asks for."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__("orthanc")
        self._settings = settings
        self.routes: list[str] = []
        self.ChangeType = SimpleNamespace()

    def GetConfiguration(self) -> str:  # noqa: N802  Orthanc's name
        return json.dumps({"Spineps": self._settings})

    def RegisterOnChangeCallback(self, _callback: object) -> None:  # noqa: N802  Orthanc's name
        """Nothing ever changes here."""

    def RegisterRestCallback(self, path: str, _callback: object) -> None:  # noqa: N802  Orthanc's name
        self.routes.append(path)

    def ExtendOrthancExplorer(self, _script: str) -> None:  # noqa: N802  Orthanc's name
        """There is no explorer."""


@pytest.fixture
def module() -> Iterator[None]:
    """Whatever is called orthanc afterwards is what it was before."""
    before = sys.modules.get("orthanc")
    yield
    sys.modules.pop("orthanc", None)
    if before is not None:
        sys.modules["orthanc"] = before


def address(settings: dict[str, Any]) -> str:
    """Where the plugin looks for the node with these settings."""
    sys.modules["orthanc"] = FakeOrthanc(settings)
    spec = importlib.util.spec_from_file_location("plugin_under_test", PLUGIN)
    assert spec is not None
    assert spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    return str(plugin._NODE)


@pytest.mark.usefixtures("module")
def test_the_port_comes_out_of_the_nodes_own_configuration(tmp_path: Path) -> None:
    """One file says it for both; without the key it is the node's default; an address goes before it."""
    config = tmp_path / "node.toml"
    config.write_text("[orthanc]\nlisten_port = 9001\n")
    assert address({"Config": str(config)}) == "http://127.0.0.1:9001"
    assert address({"Config": str(config), "Node": "http://127.0.0.1:7000/"}) == "http://127.0.0.1:7000"
    config.write_text("[node]\n")
    assert address({"Config": str(config)}) == address({}) == "http://127.0.0.1:8044"


@pytest.mark.usefixtures("module")
def test_any_port_is_no_port(tmp_path: Path) -> None:
    """A node that listens at any port cannot be found; Orthanc's log says so at its start."""
    config = tmp_path / "node.toml"
    config.write_text("[orthanc]\nlisten_port = 0\n")
    with pytest.raises(ValueError, match="listen_port 0"):
        address({"Config": str(config)})
