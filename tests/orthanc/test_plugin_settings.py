"""How the plugin finds the node: by the node's own configuration, or by an address; a stand-in for Orthanc's module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.orthanc.stand_in import StandIn, loaded


def address(settings: dict[str, Any]) -> str:
    """Where the plugin looks for the node with these settings."""
    with loaded(StandIn(settings)) as plugin:
        return str(plugin._NODE)


def test_the_port_comes_out_of_the_nodes_own_configuration(tmp_path: Path) -> None:
    """One file says it for both; without the key it is the node's default; an address goes before it."""
    config = tmp_path / "node.toml"
    config.write_text("[orthanc]\nlisten_port = 9001\n")
    assert address({"Config": str(config)}) == "http://127.0.0.1:9001"
    assert address({"Config": str(config), "Node": "http://127.0.0.1:7000/"}) == "http://127.0.0.1:7000"
    config.write_text("[node]\n")
    assert address({"Config": str(config)}) == address({}) == "http://127.0.0.1:8044"


def test_any_port_is_no_port(tmp_path: Path) -> None:
    """A node that listens at any port cannot be found; Orthanc's log says so at its start."""
    config = tmp_path / "node.toml"
    config.write_text("[orthanc]\nlisten_port = 0\n")
    with pytest.raises(ValueError, match="listen_port 0"):
        address({"Config": str(config)})
