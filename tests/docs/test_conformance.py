"""The DICOM conformance statement says what the code negotiates and sends, no more and no less."""

from __future__ import annotations

import re
from dataclasses import replace

from encode.cases import CREATED, OPTIONS, case, identity, read
from pynetdicom import sop_class
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification

from scripts.conformance_tables import PAGE, accepted, named, written
from spineps_pacs.cli.check_peers import SOP_CLASSES
from spineps_pacs.delivery.dimse import contexts_for
from spineps_pacs.encode.rejection import rejection
from spineps_pacs.encode.results import encode
from spineps_pacs.intake.selection import MR_CLASSES

TEXT = PAGE.read_text(encoding="utf-8")
UIDS = re.compile(r"\b1\.2\.840\.10008(?:\.\d+)+")
PORT = {str(Verification), str(StorageCommitmentPushModel)}
CONTEXT_NAME = "1.2.840.10008.3.1.1.1"


def section(heading: str) -> str:
    """The text from a heading to the next one."""
    return re.split(r"^#+ ", TEXT.split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every line of its tables that names a UID."""
    lines = [line for line in text.splitlines() if line.startswith("|") and UIDS.search(line)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_what_is_accepted_is_what_is_said() -> None:
    """SOP classes and transfer syntaxes are those of the DICOM port; scripts/conformance_tables.py renews them."""
    assert written(TEXT) == TEXT
    assert set(accepted(storage=False)) == PORT


def test_what_is_sent_is_what_is_said() -> None:
    """Each object, as it is made, has the SOP class, its own transfer syntax and the proposals of its row."""
    options = replace(OPTIONS, labelmap=True, gsps=True, rtstruct=True)
    report, series = case()
    results = encode(report, series, identity(report, series, options), options)
    objects = [read(result) for result in (*results, rejection(results, options, CREATED))]
    made = {
        (str(made.SOPClassUID), str(made.file_meta.TransferSyntaxUID), frozenset(_proposed(made))) for made in objects
    }
    said = {(row[1], row[3], frozenset(UIDS.findall(row[4]))) for row in rows(section("### 8.3 Objects that are sent"))}
    assert said == made


def _proposed(made: object) -> set[str]:
    return {str(syntax) for context in contexts_for([made]) for syntax in context.transfer_syntax}  # type: ignore[list-item]


def services() -> set[str]:
    """The SOP classes of services that any file of ours takes from the library."""
    found = set()
    for path in (PAGE.parents[1] / "spineps_pacs").rglob("*.py"):
        for line in re.findall(r"^ *from pynetdicom\.sop_class import (.+)$", path.read_text(), re.MULTILINE):
            found |= {name.split(" as ")[0].strip() for name in line.split(",")}
    return {str(getattr(sop_class, name)) for name in found if not name.endswith("Instance")}


def test_the_overview_names_each_class_once() -> None:
    """What is sent and the services, by the names that the standard's dictionary gives to their UIDs."""
    rows_named = [row for row in rows(section("## 1 Overview")) if UIDS.fullmatch(row[1])]
    sent = {row[1] for row in rows(section("### 8.3 Objects that are sent"))}
    assert {row[1] for row in rows_named} == sent | services()
    assert [row[0] for row in rows_named] == [named(row[1]) for row in rows_named]
    assert {uid for _, uid in SOP_CLASSES.values()} <= sent


def test_no_other_uid_is_named() -> None:
    """Every UID on the page is one of the standard's dictionary."""
    assert [uid for uid in set(UIDS.findall(TEXT)) if named(uid) == uid and uid != CONTEXT_NAME] == []


def test_selection_takes_what_is_said() -> None:
    """The classes of MR images are named, and are among those that the port accepts."""
    text = " ".join(section("### 8.1 SOP classes that are accepted").split("<!--")[0].split())
    assert all(named(uid) in text for uid in MR_CLASSES)
    assert set(MR_CLASSES) <= set(accepted(storage=True))
