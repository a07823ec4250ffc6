"""`segment` of images that no object can refer to: the answer comes before networks are loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from spineps_pacs.cli.main import run
from tests.encode.cases import Wish, case


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"])
def test_the_missing_attribute_is_named(keyword: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence with the name of the attribute, no traceback, no file; the models are not even looked for."""
    folder = tmp_path / "images"
    folder.mkdir()
    for n, dataset in enumerate(case(Wish(levels=(23, 24), rows=60, slices=6))[1].datasets):
        del dataset[keyword]
        dataset.save_as(folder / f"{n}.dcm")
    out = tmp_path / "out"
    assert run(["segment", str(folder), "--out", str(out), "--models", str(tmp_path / "absent")]) == 1
    assert f"6 of 6 images have no {keyword}" in capsys.readouterr().err
    assert not out.exists()
