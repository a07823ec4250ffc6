"""The self-test walks a made-up study through a whole node and says of each object what became of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import find_program
from web.live_node import EMBEDDED, archive, live_node

from spineps_pacs.cli import selftest

SEED = 7


@pytest.mark.timeout(900)
def test_a_node_passes_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Selection, chain, every object and the delivery are right; the report holds them, pictures and versions."""
    with live_node(tmp_path, selftest.request(SEED)) as node, archive(node) as received:
        code = selftest.selftest(node.config, out=tmp_path / "out", seed=SEED, minutes=8)
    said = capsys.readouterr().out
    assert code == 0, said
    assert {"SEG", "SR", "OT"} <= {d.Modality for d in received}
    assert all(str(d.PatientName).startswith("PHANTOM^") for d in received)
    assert f"confirmed, {len(received)} of {len(received)} objects accepted" in said
    report = (tmp_path / "out" / "report.html").read_text()
    for text in ("<b>Passed</b>", "L3", "data:image/png;base64,", "pydicom", "semantic model"):
        assert text in report
    assert "WRONG" not in said
    if find_program("chromium"):
        assert (tmp_path / "out" / "report.pdf").read_bytes().startswith(b"%PDF")
    else:
        assert "no Chromium is installed" in said


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_embedded_model_passes_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The networks that come with the package walk the same way; the report says that they are a demonstration."""
    with live_node(tmp_path, selftest.request(SEED), EMBEDDED) as node, archive(node) as received:
        code = selftest.selftest(node.config, out=tmp_path / "out", seed=SEED, minutes=25)
    assert code == 0, capsys.readouterr().out
    assert {"SEG", "SR", "OT"} <= {d.Modality for d in received}
    report = (tmp_path / "out" / "report.html").read_text()
    assert "semantic model" in report
    assert "instance model" in report


def test_a_faulty_segmentation_is_found() -> None:
    """A segment without a voxel, and a frame about an image that was not sent."""

    def frame(number: int, about: str) -> SimpleNamespace:
        image = SimpleNamespace(ReferencedSOPInstanceUID=about)
        return SimpleNamespace(
            DerivationImageSequence=[SimpleNamespace(SourceImageSequence=[image])],
            SegmentIdentificationSequence=[SimpleNamespace(ReferencedSegmentNumber=number)],
        )

    pixels = np.zeros((2, 2, 2), np.uint8)
    pixels[0] = 1
    seg = SimpleNamespace(
        pixel_array=pixels, NumberOfFrames=2, Rows=2, Columns=2,
        PerFrameFunctionalGroupsSequence=[frame(1, "1.2"), frame(2, "1.9")],
        SegmentSequence=[SimpleNamespace(SegmentNumber=n) for n in (1, 2)],
    )  # fmt: skip
    assert list(selftest._frames(seg, frozenset({"1.2"}))) == [
        "a frame is about an image that was not sent",
        "segments [2] have no voxel",
    ]
