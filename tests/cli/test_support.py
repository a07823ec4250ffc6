"""The support bundle helps a developer and names no patient."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from web.board_twin import UID, job

from spineps_pacs import settings
from spineps_pacs.cli import support
from spineps_pacs.domain.job import State
from spineps_pacs.logs import hashed
from spineps_pacs.storage.records import SqlRecords
from spineps_pacs.storage.tables import open_database, sqlite_url


def test_uids_and_credentials_are_left_out() -> None:
    """A UID becomes its salted hash, an address stays; user and web addresses are left out of the configuration."""
    said = support.scrubbed(f"no frame of {UID} at 192.0.2.1, spacing 1.25", b"salt")
    assert UID not in said
    assert hashed(b"salt", UID) in said
    assert "192.0.2.1, spacing 1.25" in said
    text = '[[destination]]\nname = "web"\nkind = "stow"\nurl = "https://pacs.example/x"\nuser = "jane"\n'
    shown = str(support.configuration(settings.parse(text)))
    assert "jane" not in shown
    assert "pacs.example" not in shown
    assert "'name': 'web'" in shown


def test_jobs_are_told_without_their_uids(tmp_path: Path) -> None:
    """State, reason and timeline of the newest; whatever a reason quotes, no UID."""
    database = open_database(sqlite_url(tmp_path / "node.sqlite"))
    records = SqlRecords(database, lambda uid: hashed(b"salt", uid))
    records.add(job("job-1", State.FAILED, reason=f"image {UID} is broken"))

    class Common:
        salt = b"salt"

    common = Common()
    common.records = records  # type: ignore[attr-defined]
    told = list(support.jobs(common))  # type: ignore[arg-type]
    database.dispose()
    assert told[0]["state"] == "failed"
    assert UID not in str(told)
    assert told[0]["timeline"][0][1] == "failed"


def test_the_command_writes_a_zip(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Versions, configuration, checks, jobs and the log that was given."""
    (tmp_path / "node.toml").write_text(
        '[models]\nfolder = "nothing"\ndevice = "cpu"\n[web]\nport = 0\n[dicom]\nport = 0\n'
    )
    (tmp_path / "node.log").write_text(f"a line about {UID}\n")
    out = tmp_path / "bundle.zip"
    assert support.support_bundle(tmp_path / "node.toml", out=out, log=tmp_path / "node.log") == 0
    with zipfile.ZipFile(out) as bundle:
        assert set(bundle.namelist()) == {"versions.txt", "configuration.json", "check.txt", "jobs.json", "node.log"}
        assert UID not in bundle.read("node.log").decode()
        assert "WRONG models" in bundle.read("check.txt").decode()
    assert "read it before you send it" in capsys.readouterr().out
