"""Folders become engines that say who they are, without what inference does not need."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from spineps_pacs.domain.errors import ModelError, SettingsError
from spineps_pacs.domain.ports import ModelInfo
from spineps_pacs.engines.device import cpu_has_bfloat16, in_bfloat16
from spineps_pacs.engines.load import load_engines, warnings_of
from spineps_pacs.engines.options import EngineOptions
from spineps_pacs.engines.weights import LOCK
from tests.engines import folders

CPU = EngineOptions(device="cpu")


def trio(root: Path) -> tuple[Path, Path, Path]:
    return (
        folders.semantic_folder(root / "T2w_semantic_v1.0.9"),
        folders.instance_folder(root / "instance_sagittal_v1.2.0", 8, 10),
        folders.labeling_folder(root / "T2w_labeling_v1.4.0"),
    )


def test_three_folders_give_three_engines(tmp_path: Path) -> None:
    """Each names its role, its folder, its version and a digest of the files it was made from."""
    engines = load_engines(*trio(tmp_path), CPU)
    assert engines.vertebra is not None
    assert engines.levels is not None
    infos = [engines.semantic.info, engines.vertebra.info, engines.levels.info]
    assert [(i.role, i.name, i.version) for i in infos] == [
        ("semantic", "t2w_semantic_v1.0.9", "v1.0.9"),
        ("instance", "instance_sagittal_v1.2.0", "v1.2.0"),
        ("labeling", "t2w_labeling_v1.4.0", "v1.4.0"),
    ]
    assert len({i.digest for i in infos}) == 3
    assert not any(i.demonstration for i in infos)
    assert not (tmp_path / LOCK).exists()


def test_the_digest_follows_the_files_that_are_used(tmp_path: Path) -> None:
    """A note beside the weights changes nothing; other weights do."""
    folder = folders.semantic_folder(tmp_path / "m")
    one = load_engines(folder, options=CPU).semantic.info.digest
    (folder / "notes.txt").write_text("seen")
    assert load_engines(folder, options=CPU).semantic.info.digest == one
    folders.save_fold(folder, "0", folders.network(9).state_dict())
    assert load_engines(folder, options=CPU).semantic.info.digest != one


def test_weights_that_changed_since_they_were_recorded_are_refused(tmp_path: Path) -> None:
    """The first use records the folder beside the models, later uses compare."""
    folder = folders.semantic_folder(tmp_path / "m")
    load_engines(folder, options=CPU, recorded_in=tmp_path)
    assert (tmp_path / LOCK).exists()
    load_engines(folder, options=CPU, recorded_in=tmp_path)
    folders.save_fold(folder, "0", folders.network(9).state_dict())
    with pytest.raises(ModelError, match="not as it was recorded"):
        load_engines(folder, options=CPU, recorded_in=tmp_path)


def test_what_could_not_be_loaded_is_not_recorded(tmp_path: Path) -> None:
    """A checkpoint that came damaged may be replaced by a whole one."""
    folder = folders.semantic_folder(tmp_path / "m")
    file = folder / "fold_0" / "checkpoint_final.pth"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match=r"checkpoint_final\.pth is truncated or damaged"):
        load_engines(folder, options=CPU, recorded_in=tmp_path)
    file.write_bytes(whole)
    load_engines(folder, options=CPU, recorded_in=tmp_path)
    assert (tmp_path / LOCK).exists()


def test_folds_and_keys_that_are_missing_are_named(tmp_path: Path) -> None:
    """Only those that are not there; plans that lack a key name it."""
    folder = folders.semantic_folder(tmp_path / "m", config={"available_folds": 3})
    with pytest.raises(ModelError, match=r"lacks fold_1/checkpoint_final\.pth, fold_2/checkpoint_final\.pth"):
        load_engines(folder, options=CPU)
    folder = folders.semantic_folder(tmp_path / "n")
    (folder / "plans.json").write_text("{}")
    with pytest.raises(ModelError, match=r"lacks 'configurations'"):
        load_engines(folder, options=CPU)
    (folder / "plans.json").write_text('{"configurations": {"3d_fullres": 7}}')
    with pytest.raises(ModelError, match=r"plans\.json or dataset\.json cannot be understood"):
        load_engines(folder, options=CPU)


def test_a_model_is_used_for_its_own_work_only(tmp_path: Path) -> None:
    """A labelling folder as semantic model, and the like, is refused with both kinds named."""
    semantic, instance, labeling = trio(tmp_path)
    with pytest.raises(ModelError, match="labeling model of type classifier, not a semantic model"):
        load_engines(labeling, options=CPU)
    with pytest.raises(ModelError, match="semantic model of type nnunet, not a instance"):
        load_engines(semantic, semantic, options=CPU)
    with pytest.raises(ModelError, match="not a labeling"):
        load_engines(semantic, None, instance, CPU)


def test_a_demonstration_says_so_and_unknown_fields_are_named(tmp_path: Path) -> None:
    """The mark in the configuration comes out with the engine; a field that nobody knows is a warning."""
    folder = folders.semantic_folder(tmp_path / "m", config={"demonstration": True, "flavour": "sweet"})
    assert load_engines(folder, options=CPU).semantic.info.demonstration
    assert "flavour" in warnings_of(folder, None)[0]
    assert load_engines(folder, options=CPU).warnings == warnings_of(folder)


def test_missing_files_and_devices_are_sentences(tmp_path: Path) -> None:
    """Lost plans, and a GPU that is not there."""
    folder = folders.semantic_folder(tmp_path / "m")
    with pytest.raises(SettingsError, match="cuda:99"):
        load_engines(folder, options=EngineOptions(device="cuda:99"))
    with pytest.raises(SettingsError, match="abacus"):
        load_engines(folder, options=EngineOptions(device="abacus"))
    (folder / "plans.json").unlink()
    with pytest.raises(ModelError, match=r"plans\.json does not exist"):
        load_engines(folder, options=CPU)


def test_only_the_demonstration_model_is_quickened_unasked() -> None:
    """`auto` is bfloat16 for the demonstration model where the CPU has it, exact for every other and in upstream."""
    published, demonstration = (ModelInfo("semantic", "m", "1", "d", told) for told in (False, True))
    assert not in_bfloat16(EngineOptions(), published)
    assert in_bfloat16(EngineOptions(), demonstration) == cpu_has_bfloat16()
    assert not in_bfloat16(EngineOptions(mode="upstream"), demonstration)
    assert not in_bfloat16(EngineOptions(cpu_precision="float32"), demonstration)
    assert in_bfloat16(EngineOptions(cpu_precision="bfloat16"), published)


@pytest.mark.parametrize("wrong", [{"mode": "fast"}, {"cpu_precision": "int8"}, {"step_size": 0.0}])
def test_options_are_checked(wrong: dict[str, object]) -> None:
    """What is not an option is refused when it is made."""
    with pytest.raises(ValueError, match="not"):
        EngineOptions(**wrong)


SCRIPT = """
import sys, numpy as np
from pathlib import Path
from spineps_pacs.domain.ports import Cutouts, unwatched
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines.load import load_engines
from spineps_pacs.engines.options import EngineOptions
engines = load_engines(*map(Path, sys.argv[1:4]), EngineOptions(device="cpu"))
grid = Geometry(np.diag([0.75, 0.75, 1.65, 1]), (20, 20, 10))
engines.semantic.predict(Volume(np.arange(4000).reshape(20, 20, 10), grid), unwatched)
engines.vertebra.predict(Cutouts(np.ones((1, 16, 24, 8), np.uint8), (grid,)), unwatched)
engines.levels.predict(Cutouts(np.ones((1, 16, 24, 8), np.float32), (grid,)), unwatched)
roots = {name.split(".")[0] for name in sys.modules}
unwanted = {"nnunetv2", "lightning", "pytorch_lightning", "monai", "torchmetrics", "ants", "matplotlib", "pandas",
            "skimage", "sklearn", "batchgenerators", "timm", "torchvision", "SimpleITK"}
print(sorted(roots & unwanted))
"""


def test_inference_imports_nothing_heavy(tmp_path: Path) -> None:
    """Loading and running all three networks brings in torch, and none of the training frameworks."""
    folders_given = [str(path) for path in trio(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *folders_given], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
