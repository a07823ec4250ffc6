"""The ONNX engine on files that somebody else could have made, good ones and bad ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.domain.ports import unwatched
from spineps_pacs.engines.small_fov import OnnxNetwork, open_small_fov
from tests.engines import onnx_files


def _slices(*greys: float) -> np.ndarray:
    """A slice a grey value, with neighbours that differ."""
    slices = np.full((len(greys), *(3, 320, 896)), 0.5, np.float32)
    slices[:, 1] = np.array(greys, np.float32)[:, None, None]
    return slices


def test_files_of_the_published_form_load(tmp_path: Path) -> None:
    """Which file is which is read from its classes; the middle channel is the slice; argmax is the class."""
    onnx_files.segmentation(tmp_path)
    onnx_files.naming(tmp_path)
    engine = open_small_fov(tmp_path, "cpu")
    assert engine.names == 25
    assert engine.pixel_mm is None
    assert not engine.info.demonstration
    told: list[tuple[int, int]] = []
    found = engine.segment(_slices(0.0, 0.2, 1.0), lambda done, total: told.append((done, total)))
    assert [set(np.unique(s)) for s in found] == [{0}, {2}, {1}]
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert set(np.unique(engine.name(_slices(onnx_files.bone(19)), unwatched))) == {19}


def test_a_file_of_24_names_loads_and_says_so(tmp_path: Path) -> None:
    """Twenty-five classes are the background and 24 names; one that does not state its classes is asked."""
    onnx_files.segmentation(tmp_path)
    path = onnx_files.naming(tmp_path, names=24)
    assert open_small_fov(tmp_path, "cpu").names == 24
    lines = [(0.0, 0.0), (1.0, -0.1), (2.0, -0.35)]
    assert OnnxNetwork(onnx_files.write(path, lines, classes="classes"), "cpu").classes == 3


def test_a_fixed_batch_is_filled(tmp_path: Path) -> None:
    """A network that takes two slices at a time answers three slices with three."""
    path = onnx_files.write(tmp_path / "two.onnx", [(0.0, 0.0), (1.0, -0.1), (2.0, -0.35)], (2, 3, 320, 896))
    found = OnnxNetwork(path, "cpu")(_slices(0.0, 0.2, 1.0), unwatched)
    assert [int(s[0, 0]) for s in found] == [0, 1, 2]


def test_the_folder_may_say_what_it_holds(tmp_path: Path) -> None:
    """Name, version, pixel and whether it is a demonstration come from small-fov.json; the digest from the files."""
    onnx_files.segmentation(tmp_path)
    onnx_files.naming(tmp_path)
    plain = open_small_fov(tmp_path, "cpu").info.digest
    said = {"name": "mine", "version": "3", "pixel_mm": 0.8, "demonstration": True}
    (tmp_path / "small-fov.json").write_text(json.dumps(said))
    engine = open_small_fov(tmp_path, "cpu")
    assert (engine.info.name, engine.info.version, engine.info.demonstration) == ("mine", "3", True)
    assert engine.pixel_mm == 0.8
    assert engine.info.digest == plain
    for bad in ('{"colour": 1}', '{"pixel_mm": 80}', "[", "[1]"):
        (tmp_path / "small-fov.json").write_text(bad)
        with pytest.raises(ModelError, match=r"small-fov\.json"):
            open_small_fov(tmp_path, "cpu")


def test_bad_files_are_named(tmp_path: Path) -> None:
    """No file, one that is no ONNX, two for one part: each a sentence with the name."""
    with pytest.raises(ModelError, match=r"holds no \.onnx file"):
        open_small_fov(tmp_path, "cpu")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no network at all")
    with pytest.raises(ModelError, match=r"bad\.onnx cannot be read as an ONNX network"):
        open_small_fov(tmp_path, "cpu")
    bad.unlink()
    onnx_files.segmentation(tmp_path)
    with pytest.raises(ModelError, match="one network that names vertebrae; it holds none"):
        open_small_fov(tmp_path, "cpu")
    onnx_files.naming(tmp_path)
    onnx_files.segmentation(tmp_path, "other.onnx")
    with pytest.raises(ModelError, match=r"it holds Seg2\.onnx, other\.onnx"):
        open_small_fov(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("form", "lines", "sentence"),
    [
        (("n", 1, 320, 896), 3, "takes an array of"),
        (("n", 3, 512, 512), 3, "takes an array of"),
        ((3, 320, 896), 3, "takes an array of"),
        (("n", 3, 320, 896), 7, "gives 7 classes"),
    ],
)
def test_wrong_shapes_are_named(tmp_path: Path, form: tuple[int | str, ...], lines: int, sentence: str) -> None:
    """A file that takes or gives another shape is refused when it is loaded, with the shape."""
    path = onnx_files.write(tmp_path / "odd.onnx", [(1.0, 0.0)] * lines, form)
    with pytest.raises(ModelError, match=rf"odd\.onnx ({sentence}|cannot be read)"):
        OnnxNetwork(path, "cpu")


def test_scores_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    """A network that answers NaN is refused; so are slices of another size."""
    path = onnx_files.write(tmp_path / "nan.onnx", [(float("nan"), 0.0)] * 3)
    with pytest.raises(ModelError, match=r"nan\.onnx gave scores that are no numbers"):
        OnnxNetwork(path, "cpu")(_slices(1.0), unwatched)
    with pytest.raises(ModelError, match="takes slices of"):
        OnnxNetwork(path, "cpu")(np.zeros((1, 3, 8, 8), np.float32), unwatched)
