"""Model folders are found, named, told apart, and held to their checksums; their configuration is read in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.engines import weights
from spineps_pacs.engines.inference_config import read_config
from spineps_pacs.engines.weights import choose, find_models, open_model
from tests.engines import folders


def config(tmp_path: Path, **changes: Any) -> Path:
    content = {k: v for k, v in (folders.SEMANTIC | changes).items() if v is not ...}
    folders.write(tmp_path / "m" / "inference_config.json", content)
    return tmp_path / "m" / "inference_config.json"


def test_defaults_are_those_of_the_reference(tmp_path: Path) -> None:
    """Only what is required given: everything else has the reference's value, sizes in cubic millimetres."""
    got = read_config(config(tmp_path))
    assert (got.inputs, got.has_c1, got.needs_corp, got.sacrum_ids, got.metal_ids) == (
        ("img",),
        False,
        False,
        (26,),
        (80,),
    )
    assert got.cutout_size == (248, 304, 64)
    assert dict(got.classes) == {41: 1, 42: 2, 43: 3, 44: 4, 45: 5, 46: 6, 47: 7, 48: 8, 49: 9, 50: 9, 51: 9, 26: 0}
    assert got.corpus_size_mm3 == pytest.approx(92.8125)
    assert got.vertebra_size_mm3 == pytest.approx(232.03125)
    assert (got.spacing, got.largest_spacing) == ((0.75, 0.75, 1.65), None)
    assert (got.step_size, got.mirroring, got.folds, got.warnings) == (0.5, False, ("0",), ())


def test_every_field_is_read(tmp_path: Path) -> None:
    """All optional fields; labels by structure, by vertebra and by number; unknown fields are named in a warning."""
    got = read_config(
        config(
            tmp_path, modality=["T2w", "CT"], has_c1=True, needs_corp=True, sacrum_ids=[26, 27], metal=[81],
            cutout_size=[128, 152, 32], corpus_size_cleaning=10, corpus_border_threshold=3, vert_size_threshold=20,
            mapping={"49": 3}, labels={"1": "Dens_axis", "2": "S1", "3": 62, "4": "T13", "5": "S2"}, version="v7",
            resolution_range=[[0.5, 0.5, 1.0], [1.0, 1.0, 2.0]], available_folds="all", colour="red",
            demonstration=True,
        )
    )  # fmt: skip
    assert (got.modalities, got.has_c1, got.needs_corp) == (("T2w", "CT"), True, True)
    assert (got.sacrum_ids, got.metal_ids, got.cutout_size) == ((26, 27), (81,), (128, 152, 32))
    assert (got.corpus_size_mm3, got.corpus_border_threshold, got.vertebra_size_mm3) == (2.5, 3, 5.0)
    assert (got.classes, got.labels) == (((49, 3),), ((1, 51), (2, 26), (3, 62), (4, 28), (5, 29)))
    assert (got.spacing, got.largest_spacing, got.folds) == ((0.5, 0.5, 1.0), (1.0, 1.0, 2.0), ("all",))
    assert (got.version, got.demonstration) == ("v7", True)
    unknown, undone = got.warnings
    assert unknown.endswith("unknown field colour")
    assert "needs_corp: the image is not cropped" in undone


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("resolution_range", [0.75, 0.75], "three numbers"),
        ("resolution_range", [0.75, -1, 1.65], "millimetres"),
        ("resolution_range", [[2, 2, 2], [1, 1, 1]], "minimum above its maximum"),
        ("resolution_range", "fine", "three numbers"),
        ("resolution_range", [[1, 1, 1]] * 3, "millimetres"),
        ("modality", "X-ray", "T2w"),
        ("modality", [], "T2w"),
        ("acquisition", "oblique", "sag"),
        ("modeltype", "transformer", "nnunet"),
        ("model_expected_orientation", ["L", "P", "S"], "P, I, R"),
        ("model_expected_orientation", 3, "P, I, R"),
        ("resolution_range", [float("nan"), 1, 1], "millimetres"),
        ("corpus_size_cleaning", float("nan"), "a number, 0 or more"),
        ("vert_size_threshold", float("inf"), "a number, 0 or more"),
        ("available_folds", 0, "above 0"),
        ("available_folds", None, "above 0"),
        ("default_step_size", 1.5, "at most 1"),
        ("default_step_size", "half", "number"),
        ("labels", {"1": "Nose"}, "Nose"),
        ("labels", {"one": 3}, "one"),
        ("labels", {"1": 300}, "0..255"),
        ("labels", [1, 2], "object"),
        ("labels", {"1": [49, 50]}, "neither a number nor a known structure"),
        ("labels", {"1": float("inf")}, "neither a number nor a known structure"),
        ("cutout_size", [248, 304, 60], "divisible by 8"),
        ("sacrum_ids", ["S1"], "whole numbers"),
        ("corpus_size_cleaning", -1, "0 or more"),
        ("expected_inputs", ["sound"], "img"),
        ("mapping", [1], "object"),
        ("log_name", ..., "log_name is missing"),
        ("labels", ..., "labels is missing"),
    ],
)
def test_an_impossible_value_is_named(tmp_path: Path, field: str, value: Any, says: str) -> None:
    """The file, the field and what is wrong with it stand in the sentence."""
    with pytest.raises(ModelError, match=says) as error:
        read_config(config(tmp_path, **{field: value}))
    assert field in str(error.value)
    assert "inference_config.json" in str(error.value)


def test_files_that_are_no_configuration_are_named(tmp_path: Path) -> None:
    """A missing file, broken JSON and a list: a sentence each."""
    path = tmp_path / "inference_config.json"
    with pytest.raises(ModelError, match="cannot be read"):
        read_config(path)
    for content, says in (("{", "not JSON"), ("[]", "list")):
        path.write_text(content)
        with pytest.raises(ModelError, match=says):
            read_config(path)


def models(root: Path) -> Path:
    for name, content in {
        "T2w_semantic_v1.0.9": folders.SEMANTIC,
        "wrapped/instance_sagittal_v1.2.0": folders.INSTANCE,
        "T2w_labeling_v1.4.0": folders.LABELING,
        "Other/nnUNetTrainer__nnUNetPlans__3d_fullres": folders.SEMANTIC,
        ".half/T2w_semantic_v9": folders.SEMANTIC,
    }.items():
        folders.write(root / name / "inference_config.json", content)
    folders.write(root / "broken" / "inference_config.json", {"log_name": "x"})
    return root


def test_models_are_found_named_and_told_apart(tmp_path: Path) -> None:
    """By their configuration, at any depth; an nnU-Net folder goes by its parent's name; broken ones are reported."""
    found, faults = find_models(models(tmp_path))
    assert {m.name: m.kind for m in found} == {
        "t2w_semantic_v1.0.9": "semantic", "instance_sagittal_v1.2.0": "instance", "t2w_labeling_v1.4.0": "labeling",
        "other": "semantic",
    }  # fmt: skip
    assert {m.name: m.version for m in found}["t2w_semantic_v1.0.9"] == "v1.0.9"
    assert {m.name: m.version for m in found}["other"] == ""
    assert len(faults) == 1
    assert "broken" in faults[0]
    with pytest.raises(ModelError, match="does not exist"):
        find_models(tmp_path / "nowhere")


def test_a_model_answers_to_its_published_and_its_folder_name(tmp_path: Path) -> None:
    """t2w, t2w_semantic and the folder's own name are one; without a name the only one of its kind is taken."""
    found, _ = find_models(models(tmp_path))
    for name in ("t2w", "T2w", "t2w_semantic", "T2w_semantic_v1.0.9"):
        assert choose(found, "semantic", name).name == "t2w_semantic_v1.0.9"
    assert choose(found, "instance", "instance").name == "instance_sagittal_v1.2.0"
    assert choose(found, "instance").name == "instance_sagittal_v1.2.0"
    assert choose(found, "labeling", "t2w_labeling").name == "t2w_labeling_v1.4.0"
    with pytest.raises(ModelError, match="other, t2w_semantic"):
        choose(found, "semantic")
    with pytest.raises(ModelError, match="no semantic model named ct"):
        choose(found, "semantic", "ct")


def test_where_no_model_fits_the_folders_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    """The one that is missed may be the one with a fault: its file, field and value stand in the refusal."""
    folders.write(tmp_path / "t2w" / "inference_config.json", folders.SEMANTIC | {"resolution_range": [0, 1, 1]})
    found, faults = find_models(tmp_path)
    with pytest.raises(ModelError, match=r"no semantic model was found; .*inference_config\.json: resolution_range"):
        choose(found, "semantic", None, faults)


def test_a_folder_is_opened_directly_or_one_further_down(tmp_path: Path) -> None:
    """The folder itself or the only one inside; none or two are a sentence."""
    folders.write(tmp_path / "a" / "b" / "inference_config.json", folders.SEMANTIC)
    assert open_model(tmp_path / "a").folder == tmp_path / "a" / "b"
    folders.write(tmp_path / "a" / "c" / "inference_config.json", folders.SEMANTIC)
    with pytest.raises(ModelError, match="holds 2 files"):
        open_model(tmp_path / "a")
    with pytest.raises(ModelError, match="holds 0 files"):
        open_model(tmp_path / "nothing")


def test_a_digest_depends_on_names_and_contents(tmp_path: Path) -> None:
    """The same files give the same digest wherever they lie; another byte or another name gives another."""
    sums = []
    for name, content in (("a/x", "1"), ("b/x", "1"), ("c/x", "2"), ("d/y", "1")):
        path = tmp_path / name
        path.parent.mkdir()
        path.write_text(content)
        sums.append(weights.digest_of(weights.checksums(path.parent)))
    assert sums[0] == sums[1]
    assert len(set(sums)) == 3


def test_the_first_use_is_recorded_and_compared_ever_after(tmp_path: Path) -> None:
    """All files of the folder are recorded; a changed one is refused by name; the record itself is no model file."""
    root = models(tmp_path)
    model = choose(find_models(root)[0], "semantic", "t2w")
    (model.folder / "fold_0.bin").write_bytes(b"one")
    used = weights.checksums(model.folder, [model.folder / "fold_0.bin"])
    weights.hold_to_record(model, root, used)
    assert not (root / weights.LOCK).exists()
    weights.record_once(model, root)
    assert set(weights.read_record(root).models["T2w_semantic_v1.0.9"]) == {"inference_config.json", "fold_0.bin"}
    assert all(p.name != weights.LOCK for p in weights.files_of(root))
    weights.hold_to_record(model, root, used)
    (model.folder / "fold_0.bin").write_bytes(b"two")
    with pytest.raises(ModelError, match=r"fold_0\.bin has another content"):
        weights.hold_to_record(model, root, weights.checksums(model.folder, [model.folder / "fold_0.bin"]))
    (root / weights.LOCK).write_text("{")
    with pytest.raises(ModelError, match="damaged"):
        weights.read_record(root)


def test_differences_are_named() -> None:
    """Changed, added and lost files, a sentence each; lost ones only when all were looked at."""
    recorded, found = {"a": "1", "b": "1"}, {"b": "2", "c": "1"}
    assert weights.differences(recorded, found) == ("a is missing", "b has another content", "c was not there")
    assert weights.differences(recorded, found, whole=False) == ("b has another content", "c was not there")
