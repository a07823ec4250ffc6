"""A stand-in for the module that Orthanc gives to its plugins, and the plugin loaded with it."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

PLUGIN = Path(__file__).parents[2] / "orthanc" / "plugin.py"


class OrthancException(Exception):
    """As Orthanc raises it: number and words."""


class StandIn(ModuleType):
    """An Orthanc in memory: a list of changes, which series are stable, global properties, a log."""

    OrthancException = OrthancException

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__("orthanc")
        self._settings = settings
        self.properties: dict[int, str] = {}
        self.changes: list[dict[str, Any]] = []
        self.stable: dict[str, bool] = {}
        self.away = False
        self.said: list[str] = []
        self.ChangeType = SimpleNamespace()

    def image(self, series: str) -> None:
        """One image comes."""
        if series not in self.stable:
            self._change("NewSeries", series)
        self.stable[series] = False
        self._change("NewInstance", f"{series}/{len(self.changes)}")

    def quiet(self, series: str) -> None:
        """Nothing came for long; Orthanc tells."""
        self.stable[series] = True
        self._change("StableSeries", series)

    def restart(self) -> None:
        """It forgets which series it was waiting for."""
        self.stable = dict.fromkeys(self.stable, True)

    def _change(self, kind: str, thing: str) -> None:
        self.changes.append({"ChangeType": kind, "ID": thing, "Seq": len(self.changes) + 1})

    def RestApiGet(self, path: str) -> str:  # noqa: N802  Orthanc's name
        if self.away:
            raise OrthancException(11, "Error with the database")
        if path == "/changes?last":
            return json.dumps({"Last": len(self.changes)})
        if path.startswith("/changes?since="):
            since = int(path.removeprefix("/changes?since=").removesuffix("&limit=100"))
            page = self.changes[since : since + 100]
            return json.dumps({"Changes": page, "Done": since + 100 >= len(self.changes)})
        _, kind, series, *_ = path.split("/")
        if series not in self.stable:
            raise OrthancException(17, "Unknown resource")
        return json.dumps({"ParentSeries": series} if kind == "instances" else {"IsStable": self.stable[series]})

    def GetGlobalProperty(self, number: int, default: str) -> str:  # noqa: N802  Orthanc's name
        return self.properties.get(number, default)

    def SetGlobalProperty(self, number: int, text: str) -> None:  # noqa: N802  Orthanc's name
        self.properties[number] = text

    def GetConfiguration(self) -> str:  # noqa: N802  Orthanc's name
        return json.dumps({"Spineps": self._settings})

    def LogWarning(self, sentence: str) -> None:  # noqa: N802  Orthanc's name
        self.said.append(sentence)

    LogError = LogWarning

    def RegisterOnChangeCallback(self, _callback: object) -> None:  # noqa: N802  Orthanc's name
        """Nobody calls it."""

    def RegisterRestCallback(self, _path: str, _callback: object) -> None:  # noqa: N802  Orthanc's name
        """Nobody asks."""

    def ExtendOrthancExplorer(self, _script: str) -> None:  # noqa: N802  Orthanc's name
        """There is no explorer."""


@contextmanager
def loaded(orthanc: StandIn) -> Iterator[Any]:
    """The plugin with this Orthanc; whatever is called orthanc afterwards is what it was before."""
    before = sys.modules.get("orthanc")
    sys.modules["orthanc"] = orthanc
    try:
        spec = importlib.util.spec_from_file_location("plugin_under_test", PLUGIN)
        assert spec is not None
        assert spec.loader is not None
        plugin = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(plugin)
        yield plugin
    finally:
        sys.modules.pop("orthanc", None)
        if before is not None:
            sys.modules["orthanc"] = before
