"""The house: imports go down, never up and never sideways; faces are one line; sizes stay readable."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from spineps_pacs.settings import Settings

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "spineps_pacs"
ROOMS = frozenset(
    {"intake", "storage", "workflow", "analysis", "engines", "encode", "delivery", "phantom", "web", "evaluation"}
)
ROOF = frozenset(
    {
        "app",
        "auditing",
        "opinions",
        "outlets",
        "producing",
        "lineage",
        "shadowing",
        "watching",
        "desk",
        "stations",
        "cli",
        "__main__",
    }
)
"""Floors 3 and 4: may import every room."""
CELLAR = frozenset({"domain", "toml_lines", "settings_faults"})
SINGLE = frozenset({"settings", "logs"})
ONLY_IN = {
    "torch": "engines",
    "nnunetv2": "engines",
    "highdicom": "encode",
    "dbos": "workflow",
    "onnxruntime": "engines",
}
NO_IO = frozenset({"socket", "logging", "structlog", "requests", "subprocess", "time", "sqlite3", "urllib", "http"})
LONG_FILES: dict[str, str] = {
    "spineps_pacs/settings.py": "one table of keys, in the order of the commented file",
    "spineps_pacs/domain/anatomy.py": "tables of codes and colours, one place for all",
}


def _files(folder: Path = PACKAGE) -> list[Path]:
    return sorted(p for p in folder.rglob("*.py") if "__pycache__" not in p.parts)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _part(path: Path) -> str:
    """The room (or the single file) to which a file of the package belongs."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Every module that a file imports, at the top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def may_import(part: str, other: str) -> bool:
    """Rule 1 of the house: down, or within the same room."""
    if other == part or other in CELLAR or part in ROOF:
        return other != "cli" or part in {"cli", "__main__"}
    return False


def wrong_imports(path: Path, text: str) -> list[str]:
    """The imports of a file that run up or sideways."""
    part = _part(path)
    wrong = []
    for module in imports(ast.parse(text)):
        pieces = module.split(".")
        if pieces[0] != "spineps_pacs" or len(pieces) < 2:
            continue
        known = pieces[1] in ROOMS | CELLAR | SINGLE | (ROOF - {"__main__"})
        if known and not may_import(part, pieces[1]):
            wrong.append(f"{part} imports {module}")
    return wrong


@pytest.mark.parametrize("path", _files(), ids=_name)
def test_imports_go_down(path: Path) -> None:
    """A room imports the domain and itself, nothing else of ours."""
    if path == PACKAGE / "__init__.py":
        return
    assert wrong_imports(path, path.read_text()) == []


@pytest.mark.parametrize(
    ("room", "line", "wrong"),
    [
        ("intake", "from spineps_pacs.storage.records import X", True),
        ("domain", "import spineps_pacs.analysis.levels", True),
        ("encode", "from spineps_pacs.app import front", True),
        ("web", "from spineps_pacs.settings import Settings", True),
        ("encode", "from spineps_pacs.domain.report import Report", False),
        ("encode", "from spineps_pacs.encode.identity import uid", False),
        ("cli", "from spineps_pacs.storage.records import X", False),
    ],
)
def test_a_wrong_import_is_found(room: str, line: str, wrong: bool) -> None:
    """The rule itself: up and sideways fail, down and within pass, also inside a function."""
    assert bool(wrong_imports(PACKAGE / room / "x.py", f"def f():\n    {line}\n")) is wrong


@pytest.mark.parametrize("path", _files(), ids=_name)
def test_heavy_libraries_stay_in_their_room(path: Path) -> None:
    """Only engines/ imports torch, only encode/ highdicom, only workflow/ dbos."""
    for module in imports(ast.parse(path.read_text())):
        home = ONLY_IN.get(module.split(".")[0])
        assert home is None or _part(path) == home, f"{module} belongs in {home}/"


@pytest.mark.parametrize("path", [*_files(PACKAGE / "analysis"), *_files(PACKAGE / "encode")], ids=_name)
def test_the_middle_does_no_io(path: Path) -> None:
    """analysis/ and encode/ touch no network, no clock, no log."""
    used = {module.split(".")[0] for module in imports(ast.parse(path.read_text()))}
    assert not used & NO_IO
    assert "open(" not in path.read_text().replace("Image.open(", "").replace("_open(", "")


@pytest.mark.parametrize("path", [p for p in _files() if p.name == "__init__.py" and p.parent != PACKAGE], ids=_name)
def test_a_rooms_face_is_one_line(path: Path) -> None:
    """__init__.py says what the room is for and holds nothing else."""
    body = ast.parse(path.read_text()).body
    assert len(body) == 1
    assert ast.get_docstring(ast.parse(path.read_text()))
    assert len(path.read_text().strip().splitlines()) == 1


@pytest.mark.parametrize("path", [*_files(), *_files(ROOT / "training"), *_files(ROOT / "orthanc")], ids=_name)
def test_every_file_says_what_it_is_for(path: Path) -> None:
    """The first line is a sentence, before any import or licence."""
    assert ast.get_docstring(ast.parse(path.read_text())), f"{_name(path)} has no first line"


@pytest.mark.parametrize("path", _files(), ids=_name)
def test_nobody_reads_the_environment(path: Path) -> None:
    """Settings are read once by the command line and handed down."""
    if _part(path) == "cli" or _name(path) == "spineps_pacs/workflow/supervisor.py":  # hands its own on to its children
        return
    nodes = list(ast.walk(ast.parse(path.read_text())))
    read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    assert not read & {"environ", "getenv", "environb"}


def _functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{_name(path)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_functions_stay_short() -> None:
    """Median under 10 lines, 95 of 100 under 40, none above 80."""
    sizes = sorted((lines, name) for path in _files() for name, lines in _functions(path))
    assert sizes[len(sizes) // 2][0] < 10
    assert sizes[int(len(sizes) * 0.95)][0] < 40
    assert [name for lines, name in sizes if lines > 80] == []


@pytest.mark.parametrize("path", _files(), ids=_name)
def test_files_stay_readable(path: Path) -> None:
    """Above 400 lines a file needs an argument."""
    lines = len(path.read_text().splitlines())
    assert lines <= 400 or _name(path) in LONG_FILES


def test_tests_mirror_the_house() -> None:
    """Every folder of tests has the name of a room, or is one of the rings that the architecture names."""
    rings = {
        "contract",
        "conformance",
        "walk",
        "gpu",
        "data",
        "fuzz",
        "parity",
        "training",
        "orthanc",
        "viewer",
        "cli",
        "domain",
        "deploy",
        "docs",
    }
    folders = {p.name for p in (ROOT / "tests").iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= ROOMS | rings


def test_no_two_test_files_share_a_module_name() -> None:
    """Folders of tests that are no packages share one space of names; two of one name are not collected together."""
    loose = [p.name for p in (ROOT / "tests").rglob("test_*.py") if not (p.parent / "__init__.py").exists()]
    assert sorted(name for name in set(loose) if loose.count(name) > 1) == []


def test_every_first_line_of_a_test_says_what_must_hold() -> None:
    """A test without a sentence is not a test of ours."""
    silent = [
        f"{_name(path)}:{node.lineno} {node.name}"
        for path in _files(ROOT / "tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert silent == []


def _names_of_settings(model: Any) -> Iterator[str]:
    """Every key of the settings, with those of the tables in it."""
    for name, field in model.model_fields.items():
        yield name
        for inner in get_args(field.annotation) or (field.annotation,):
            if hasattr(inner, "model_fields"):
                yield from _names_of_settings(inner)


def test_every_setting_does_something() -> None:
    """No key of the settings is read by nobody."""
    read = "".join(path.read_text() for path in _files() if path.name != "settings.py")
    assert [name for name in _names_of_settings(Settings) if not re.search(rf"\b{name}\b", read)] == []
