"""The configuration: the commented file documents every key, and every fault is named with key and line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.settings import RESTART, Settings, changed, load, parse, secret, waits_for_restart
from spineps_pacs.settings_faults import table_in

CONFIG = Path(__file__).parent.parent / "config" / "spineps-pacs.toml"


def _keys(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, field in model.model_fields.items():
        inner = table_in(field.annotation)
        yield (*path, name), field
        if inner is not None:
            yield from _keys(inner, (*path, name))


def _section(text: str, name: str) -> str:
    """The part of the file that speaks of a table, commented out or not."""
    starts = re.split(r"(?m)^(?=#? ?\[+[a-z._]+\]+\s*$)", text)
    return "\n".join(s for s in starts if re.match(rf"#? ?\[+{name}[\].]", s))


def test_every_key_is_documented() -> None:
    """Each key of the settings stands in its table of the commented file."""
    text = CONFIG.read_text()
    for path, _ in _keys(Settings):
        if len(path) > 1:
            assert re.search(rf"\b{path[-1]}\b", _section(text, path[0])), f"{'.'.join(path)} is not documented"


def test_nothing_is_documented_that_does_not_exist() -> None:
    """The commented examples load too, once their comment signs are gone."""
    lines = [re.sub(r"^# (?=\[\[|[a-z_]+ = )", "", line) for line in CONFIG.read_text().splitlines()]
    settings = parse("\n".join(lines))
    assert [d.name for d in settings.destination] == ["pacs"]
    assert settings.dicom.callers[0].ae_title == "MR1"


def test_the_file_holds_the_defaults() -> None:
    """The file as it is shipped says the same as no file at all."""
    assert parse(CONFIG.read_text()) == parse("")


def test_the_file_is_plain_toml() -> None:
    """Every table of the settings that is not a list stands in the file."""
    tables = set(tomllib.loads(CONFIG.read_text()))
    assert tables == {name for name in Settings.model_fields if name not in {"destination", "pacs"}}


def marked() -> set[str]:
    """The keys that the commented file marks: under a comment with (restart), or in a table that says all of it."""
    found, table, whole, comment, group = set(), "", False, "", False
    for line in CONFIG.read_text().splitlines():
        bare = line.removeprefix("# ")
        heading, key = re.fullmatch(r"\[+([a-z_.]+)\]+", bare), re.match(r"([a-z_]+) = ", bare)
        if heading:
            table, whole = heading[1], "(restart, all of it)" in comment and line.startswith("#")
        elif key and table:
            whole = whole or "(restart, all of it)" in comment
            found |= {f"{table}.{key[1]}"} if whole or "(restart" in comment else set()
            group = True
            continue
        comment = bare if group or not line.startswith("#") else f"{comment} {bare}"
        group = False
    return found


def test_what_needs_a_restart_is_said_in_one_list() -> None:
    """The marks of the commented file and the list that SIGHUP goes by are the same; every entry of it exists."""
    leaves = {".".join(path) for path, _ in _keys(Settings) if len(path) == 2}
    listed = {leaf for leaf in leaves if any(leaf == one or leaf.startswith(f"{one}.") for one in RESTART)}
    assert marked() == listed
    assert all(one in leaves or one in Settings.model_fields for one in RESTART)


def test_a_change_that_waits_is_named() -> None:
    """Key by key; what is taken over at once is not among them."""
    before = parse("")
    after = parse(
        "[web]\nport = 1\n[alerts]\nwebhook = 'x'\n[dicom]\nquiet_s = 1.0\n"
        "[[destination]]\nname = 'a'\nkind = 'folder'\nfolder = 'x'"
    )
    assert changed(before, after) == ["dicom.quiet_s", "destination", "web.port", "alerts.webhook"]
    assert waits_for_restart(before, after) == ["destination", "web.port", "alerts.webhook"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[dicom]\nportt = 1", "line 2: unknown key 'dicom.portt'; did you mean 'port'?"),
        ("\n\n[dicom]\nport = 70000", "line 4: 'dicom.port' is 70000"),
        ("[nodes]\n", "line 1: unknown key 'nodes'; did you mean 'node'?"),
        ("[[destination]]\nname = 'a'\nkind = 'ftp'", "line 3: 'destination.0.kind' is 'ftp'"),
        ("[[destination]]\nname = 'a'\nkind = 'dicom'", "destination 'a' of kind 'dicom' needs 'host'"),
        ("[web]\nenabled = 'maybe'", "line 2: 'web.enabled' is 'maybe'"),
        ("[web\n", "not TOML"),
        (
            "[dicom]\ncommitment_peers = { A = 'host:104', B = 'host:dicom' }",
            "line 2: 'dicom.commitment_peers.B' is 'host:dicom': the address of a peer is host:port, as 192.0.2.20:104",
        ),
        ("[dicom.commitment_peers]\nA = ':104'", "line 2: 'dicom.commitment_peers.A' is ':104'"),
        ("[dicom.commitment_peers]\nA = 'host:70000'", "line 2: 'dicom.commitment_peers.A' is 'host:70000'"),
        ("[dicom]\ntls = { certificate = 'a' }", "line 2: 'dicom.tls.key' is missing"),
        ("[[destination]]\nname='a'\nkind='folder'\nfolder='x'\n" * 2, "two destinations are called 'a'"),
    ],
)
def test_a_fault_is_named_with_key_and_line(text: str, expected: str) -> None:
    """A wrong file gives a sentence that says where and what is allowed."""
    with pytest.raises(SettingsError) as caught:
        parse(text, "file")
    assert expected in str(caught.value)


def test_each_of_several_faults_is_named() -> None:
    """Two wrong tables of an array are told apart."""
    text = "[dicom]\n[[dicom.callers]]\nae_title='A'\n[[dicom.callers]]\nae_titel='B'\n"
    with pytest.raises(SettingsError, match=r"line 5: unknown key 'dicom.callers.1.ae_titel'"):
        parse(text)


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    """A path in the file is taken from the file's own folder, wherever the node was started."""
    file = tmp_path / "a.toml"
    file.write_text("[node]\ndata_folder = 'store'\n[[destination]]\nname='x'\nkind='folder'\nfolder='out'\n")
    settings = load(file)
    assert settings.node.data_folder == tmp_path / "store"
    assert settings.destination[0].folder == tmp_path / "out"


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    """An absent file is named, not a traceback."""
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read"):
        load(tmp_path / "none.toml")


def test_secrets_come_from_files(tmp_path: Path) -> None:
    """A secret is the content of its file without the last newline; an absent one is named."""
    (tmp_path / "token").write_text("abc\n")
    assert secret(tmp_path / "token") == "abc"
    assert secret(None) == ""
    with pytest.raises(SettingsError, match="cannot be read"):
        secret(tmp_path / "absent")


def test_the_environment_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the same name changes nothing."""
    monkeypatch.setenv("NODE", '{"keep_hours": 1}')
    monkeypatch.setenv("NODE__KEEP_HOURS", "1")
    assert parse("").node.keep_hours == 72.0
