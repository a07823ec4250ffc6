"""What every part that keeps datasets promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from samples import content_of, series_of, slice_of, write
from twins import DictDatasets

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.storage.datasets import DatasetFolder

Make = Callable[[Path], DatasetFolder | DictDatasets]


@pytest.fixture(params=["folder", "dict"])
def datasets(request: pytest.FixtureRequest, tmp_path: Path) -> DatasetFolder | DictDatasets:
    if request.param == "folder":
        return DatasetFolder(tmp_path / "store")
    return DictDatasets(tmp_path / "store", lambda: 100.0)


def test_what_is_added_can_be_loaded(datasets: DatasetFolder) -> None:
    """Bytes in, the same series out, whatever the order."""
    slices = series_of("a", 4)
    for number in (2, 0, 3, 1):
        assert datasets.add("key", f"{number}.dcm", content_of(slices[number]))
    loaded = datasets.load("key")
    assert loaded.series_uid == slices[0].SeriesInstanceUID
    assert loaded.instance_uids == tuple(sorted(str(ds.SOPInstanceUID) for ds in slices))
    assert loaded.datasets[0].PixelData == slices[0].PixelData


def test_headers_come_without_pixels(datasets: DatasetFolder) -> None:
    """Asked for headers only, no pixel data is read."""
    datasets.add("key", "0.dcm", content_of(slice_of("a", 0)))
    assert "PixelData" not in datasets.load("key", pixels=False).datasets[0]


def test_the_first_content_of_a_name_stays(datasets: DatasetFolder) -> None:
    """A second dataset of the same name changes nothing and says so."""
    first, second = content_of(slice_of("a", 0)), content_of(slice_of("a", 1))
    assert datasets.add("key", "0.dcm", first)
    assert not datasets.add("key", "0.dcm", second)
    assert datasets.path("key", "0.dcm").read_bytes() == first


def test_a_file_moves_in(datasets: DatasetFolder, tmp_path: Path) -> None:
    """A file that is given lies here afterwards, or nowhere when it was known."""
    one, again = write([slice_of("a", 0)] * 2, tmp_path)
    assert datasets.add("key", "0.dcm", one)
    assert not datasets.add("key", "0.dcm", again)
    assert not one.exists()
    assert not again.exists()


def test_an_unknown_key_has_nothing(datasets: DatasetFolder) -> None:
    """No names, no datasets, and forgetting it is no error."""
    assert datasets.names("nothing") == ()
    datasets.forget("nothing")
    with pytest.raises(Unusable):
        datasets.load("nothing")


def test_what_cannot_be_read_is_a_reason(datasets: DatasetFolder) -> None:
    """Bytes that are no DICOM are kept, and loading them says why it cannot be done."""
    datasets.add("key", "0.dcm", b"rotten")
    with pytest.raises(Unusable):
        datasets.load("key")


def test_forgetting_leaves_the_others(datasets: DatasetFolder) -> None:
    """Forgetting a key takes all of it and nothing else."""
    for key in ("a", "b"):
        datasets.add(key, "0.dcm", content_of(slice_of(key, 0)))
    datasets.forget("a")
    assert datasets.names("a") == ()
    assert datasets.names("b") == ("0.dcm",)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", ".hidden", "a/b", ""])
def test_no_name_leaves_the_folder(datasets: DatasetFolder, name: str) -> None:
    """A key or name that could point elsewhere is refused."""
    with pytest.raises(ValueError, match="cannot name"):
        datasets.add(name, "0.dcm", b"x")
    with pytest.raises(ValueError, match="cannot name"):
        datasets.add("key", name, b"x")


def test_quiet_is_by_time_of_the_last_addition(datasets: DatasetFolder) -> None:
    """A key is quiet before any moment after its last addition."""
    datasets.add("key", "0.dcm", content_of(slice_of("a", 0)))
    last = datasets.changed("key")
    assert datasets.quiet(last) == ["key"]
    assert datasets.quiet(last - 1.0) == []
