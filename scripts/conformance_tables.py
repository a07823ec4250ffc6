"""Writes the tables of docs/conformance.md that come from the code: what the DICOM port accepts."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from pydicom.uid import UID

from spineps_pacs.intake.dimse import Port

PAGE = Path(__file__).parent.parent / "docs" / "conformance.md"
STORAGE_COMMITMENT = "1.2.840.10008.1.20.1"
NEWER = {
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.66.8": "Height Map Segmentation Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.1": "Waveform Presentation State Storage",
    "1.2.840.10008.5.1.4.1.1.9.100.2": "Waveform Acquisition Presentation State Storage",
}
"""Names of PS3.6 that pydicom's dictionary does not have yet."""


def named(uid: str) -> str:
    """The name of a UID."""
    return NEWER.get(uid) or UID(uid).name.removesuffix(" SOP Class")


def accepted(storage: bool) -> list[str]:
    """Abstract syntaxes of the port with the settings' defaults: those of storage, or the other services."""
    classes = [str(context.abstract_syntax) for context in Port().contexts(commitment=True)]
    services = {"1.2.840.10008.1.1", STORAGE_COMMITMENT}
    return sorted((uid for uid in classes if (uid in services) is not storage), key=named)


def syntaxes() -> list[str]:
    """Transfer syntaxes in which images are accepted, the first that is also offered is chosen."""
    classes = set(accepted(storage=True))
    contexts = [context for context in Port().contexts(commitment=False) if str(context.abstract_syntax) in classes]
    return list(dict.fromkeys(str(s) for context in contexts for s in context.transfer_syntax))


def table(head: str, uids: Iterable[str]) -> str:
    """Name and UID of each."""
    rows = [f"| {named(uid)} | {uid} |" for uid in uids]
    return "\n".join([f"| {head} | UID |", "| --- | --- |", *rows])


def written(text: str) -> str:
    """The page with its tables renewed."""
    tables = {
        "transfer syntaxes": table("Transfer syntax", syntaxes()),
        "storage": table("SOP class", accepted(storage=True)),
    }
    for name, rows in tables.items():
        begin, end = f"<!-- {name}: by scripts/conformance_tables.py -->", f"<!-- end of {name} -->"
        text = re.sub(f"{begin}.*?{end}", f"{begin}\n\n{rows}\n\n{end}", text, flags=re.DOTALL)
    return text


def main() -> int:
    """Renews the page."""
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
