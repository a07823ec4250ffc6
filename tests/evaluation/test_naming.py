"""Names of levels beside a reference: what counts as right, and the table of many scans."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from spineps_pacs.cli.main import run
from spineps_pacs.domain.anatomy import LEVEL_IDS
from spineps_pacs.domain.masks import InstanceMask
from spineps_pacs.domain.volume import Geometry
from spineps_pacs.evaluation.naming import NamedCase, anomalies, named_case
from spineps_pacs.evaluation.naming_table import EVERY, by_anomaly, by_level, groups, label_text


def _mask(*names: str, voxels: int = 100) -> InstanceMask:
    """Blocks from the top, each vertebra with the disc below it; "-" is nothing."""
    labels = np.zeros((2 * len(names), voxels, 1), np.uint16)
    for n, name in enumerate(names):
        if name != "-":
            labels[2 * n], labels[2 * n + 1] = LEVEL_IDS[name], 100 + LEVEL_IDS[name]
    return InstanceMask(labels, Geometry(np.eye(4), labels.shape))


def test_all_right() -> None:
    """The same mask is exact, with a Dice of one, and says how many vertebrae are in view."""
    case = named_case(_mask("L3", "L4", "L5"), _mask("L3", "L4", "L5"))
    assert (case.visible, case.exact, case.dice) == (3, True, 1.0)
    assert case.right == dict.fromkeys((22, 23, 24, 122, 123, 124), True)


def test_a_shift_is_wrong_everywhere() -> None:
    """Names that are all one too high leave no object right, although the outlines are perfect."""
    case = named_case(_mask("L2", "L3", "L4"), _mask("L3", "L4", "L5"))
    assert not any(case.right.values())
    assert (case.exact, case.dice) == (False, 0.0)


def test_one_missing_and_one_made_up() -> None:
    """A vertebra that was not found, or one where there is none, spoils the scan and nothing else."""
    missing = named_case(_mask("L3", "-", "L5"), _mask("L3", "L4", "L5"))
    assert [i for i, right in missing.right.items() if not right] == [23, 123]
    made_up = named_case(_mask("L3", "L4", "L5"), _mask("L3", "L4", "-"))
    assert all(made_up.right.values())
    assert not made_up.exact


def test_slivers_are_not_counted() -> None:
    """What the field of view cuts to less than fifty voxels is neither asked for nor held against anybody."""
    truth, found = _mask("L3", "L4"), _mask("L3", "L4")
    labels = truth.labels.copy()
    labels[0, 49:] = 0
    cut = InstanceMask(labels, truth.geometry)
    assert set(named_case(found, cut).right) == {23, 122, 123}
    assert named_case(found, cut).exact


def test_anomalies() -> None:
    """Each is read from the levels present; without both neighbours in view nothing is missing."""
    ids = LEVEL_IDS
    assert anomalies([ids["T11"], ids["L1"]]) == {"T12 absent"}
    assert anomalies([ids["T11"]]) == anomalies([ids["L1"], ids["L4"]]) == frozenset()
    assert anomalies([ids["L4"], ids["S1"]]) == {"L5 absent"}
    assert anomalies([ids["T12"], ids["T13"], ids["L5"], ids["L6"], ids["S1"]]) == {"T13 present", "L6 present"}


def _case(visible: int, exact: bool, odd: str = "", told: str = "") -> NamedCase:
    true, found = (frozenset({name} if name else ()) for name in (odd, told))
    return NamedCase(visible, {22: True, 122: exact}, 0.8, exact, true, found)


def test_the_table_of_many_scans() -> None:
    """Columns by vertebrae in view, shares of levels, anomalies found and not made up."""
    cases = {
        "a": _case(5, True), "b": _case(6, False), "c": _case(9, True),
        "d": _case(24, True, "L6 present", "L6 present"),
        "e": _case(23, False, "L6 present"), "f": _case(23, True, told="T13 present"),
    }  # fmt: skip
    assert {name: len(found) for name, found in groups(cases).items()} == {
        "5": 2, "8": 1, "10": 0, "15": 0, "all": 3, EVERY: 6,
    }  # fmt: skip
    assert {i: (s.hits, s.of) for i, s in by_level(cases).items()} == {22: (6, 6), 122: (4, 6)}
    found, clear = by_anomaly(cases)["L6 present"]
    assert ((found.hits, found.of), (clear.hits, clear.of)) == ((1, 2), (4, 4))
    low, high = found.interval
    assert low == pytest.approx(0.0945, abs=1e-3)
    assert high == pytest.approx(0.9055, abs=1e-3)
    lines = label_text(cases).splitlines()
    assert lines[2].split() == ["subset", "accuracy", "50.0%", "100.0%", "-", "-", "66.7%", "66.7%"]
    assert any(line.startswith("L3-L4") for line in lines)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two folders of instance masks, as text and as JSON; options of the other comparison are refused."""
    for folder, names in (("found", ("L3", "L4", "L5")), ("truth", ("L3", "L4", "L5"))):
        path = tmp_path / folder / "one" / "instances.nii.gz"
        path.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(_mask(*names).labels.astype(np.uint16), np.eye(4)), path)
    both = ["evaluate", str(tmp_path / "found"), str(tmp_path / "truth"), "--labels"]
    assert run(both) == 0
    assert "subset accuracy" in capsys.readouterr().out
    assert run([*both, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["by_vertebrae_in_view"]["5"] == {"scans": 1, "subset_accuracy": 1.0, "dice": 1.0}
    assert run([*both, "--csv", str(tmp_path / "x.csv")]) == 1
    assert "say nothing there" in capsys.readouterr().err
