"""A checkpoint gives its tensors and plain values, and nothing that it asks for is run."""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import tarfile
from collections import OrderedDict
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.engines.pickles import Stub, load_checkpoint, plain


class Backbone(Enum):
    """An enumeration of somebody's training code."""

    DENSENET169 = "DenseNet169"


class Evil:
    """Unpickling this by the ordinary way calls what it is given."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call[0], self.call[1:]


def lightning() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(5)
    weights = OrderedDict({"network.a": torch.rand(3, 4, generator=generator), "network.b": torch.arange(6)[1::2]})
    opt = argparse.Namespace(channelwise=True, lr=1e-3, final_size=(152, 168, 32), backbone=Backbone.DENSENET169)
    return {
        "state_dict": weights,
        "half": torch.rand(4, generator=generator).half(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "hyper_parameters": {"opt": opt, "do2D": False, "where": Path("/somewhere")},
        "epoch": np.int64(7),
        "best": np.float32(0.5),
        "curve": [np.float64(1.5), np.bool_(True)],
        "array": np.arange(3),
        "sizes": torch.Size([1, 2]),
        "kind": torch.float16,
        "groups": {"a", "b"},
    }


@pytest.mark.parametrize("new_zip", [True, False])
def test_tensors_and_plain_values_come_back(tmp_path: Path, new_zip: bool) -> None:
    """What torch and Lightning write is read: tensors bit by bit, numbers, options of unknown classes by name."""
    torch.save(lightning(), tmp_path / "a.ckpt", _use_new_zipfile_serialization=new_zip)
    got = load_checkpoint(tmp_path / "a.ckpt")
    for name, tensor in lightning()["state_dict"].items():
        assert torch.equal(got["state_dict"][name], tensor)
    assert got["half"].dtype == torch.float16
    assert torch.equal(got["parameter"], torch.ones(2))
    assert (got["epoch"], got["best"], got["curve"], got["kind"]) == (7, 0.5, [1.5, True], torch.float16)
    assert (got["sizes"], got["groups"]) == ((1, 2), {"a", "b"})
    opt = got["hyper_parameters"]["opt"]
    assert isinstance(opt, Stub)
    assert (opt.channelwise, opt.final_size, type(opt).origin) == (True, (152, 168, 32), "argparse.Namespace")
    assert plain(opt.backbone) == "DenseNet169"
    assert isinstance(got["array"], Stub)


def attacks(marker: Path) -> list[Evil]:
    text = f"open({str(marker)!r}, 'w').close()"
    return [
        Evil(os.system, f"touch {marker}"),
        Evil(exec, text),
        Evil(eval, text),
        Evil(subprocess.call, ["touch", str(marker)]),
        Evil(open, str(marker), "w"),
        Evil(getattr, Path, "touch"),
        Evil(Path.touch, marker),
        Evil(np.load, str(marker)),
        Evil(torch.load, str(marker)),
    ]


@pytest.mark.parametrize("number", range(9))
@pytest.mark.parametrize("new_zip", [True, False])
def test_a_hostile_checkpoint_does_nothing(tmp_path: Path, number: int, new_zip: bool) -> None:
    """Whatever a checkpoint asks to be called is not called; its tensors are still read."""
    marker, path = tmp_path / "owned", tmp_path / "evil.ckpt"
    torch.save({"a": attacks(marker)[number], "w": torch.ones(2)}, path, _use_new_zipfile_serialization=new_zip)
    got = load_checkpoint(path)
    assert isinstance(got["a"], Stub)
    assert torch.equal(got["w"], torch.ones(2))
    assert not marker.exists()


def test_the_attacks_are_real(tmp_path: Path) -> None:
    """Read the ordinary way, the first attack succeeds: the test above can fail."""
    marker = tmp_path / "owned"
    torch.save({"a": attacks(marker)[0]}, tmp_path / "evil.ckpt")
    torch.load(tmp_path / "evil.ckpt", weights_only=False)
    assert marker.exists()


def raw(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


@pytest.mark.parametrize(
    "content",
    [
        # BUILD with attributes on a function that we lend out
        raw(b"ctorch._utils\n_rebuild_tensor_v2\n", b"}", b"X\x05\x00\x00\x00_call", b"cos\nsystem\n", b"sb"),
        raw(b"ctorch._utils\n_rebuild_tensor_v2\n", b"N", b"}X\x05\x00\x00\x00_callcos\nsystem\ns", b"\x86b"),
        raw(b"cos\nsystem\n(X\x04\x00\x00\x00truetR"),
    ],
)
def test_a_pickle_cannot_change_what_it_is_lent(tmp_path: Path, content: bytes) -> None:
    """Attributes cannot be set on our functions, and a pickle that is no checkpoint is refused."""
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"a\.pth"):
        load_checkpoint(tmp_path / "a.pth")
    torch.save({"w": torch.ones(1)}, tmp_path / "good.pth")
    assert torch.equal(load_checkpoint(tmp_path / "good.pth")["w"], torch.ones(1))


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    """Missing, empty, truncated, tar, TorchScript and list: one sentence each, with the file's name."""
    torch.save(lightning(), tmp_path / "whole.ckpt")
    whole = (tmp_path / "whole.ckpt").read_bytes()
    (tmp_path / "half.ckpt").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.ckpt").write_bytes(b"")
    (tmp_path / "page.ckpt").write_bytes(b"<html>Not Found</html>")
    torch.save([1, 2], tmp_path / "list.ckpt")
    torch.save(lightning(), tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    old = (tmp_path / "old.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(old[: len(old) - 20])
    with tarfile.open(tmp_path / "tar.ckpt", "w") as tar:
        tar.add(tmp_path / "page.ckpt", "storages")
    for name in ("none", "half", "empty", "page", "list", "cut", "tar"):
        with pytest.raises(ModelError, match=rf"{name}\.ckpt"):
            load_checkpoint(tmp_path / f"{name}.ckpt")


def test_a_program_is_no_checkpoint(tmp_path: Path) -> None:
    """An archive that torch would hand to its script loader is refused before that."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/data.pkl", pickle.dumps({}))
        archive.writestr("script/constants.pkl", pickle.dumps(()))
    with pytest.raises(ModelError, match="TorchScript"):
        load_checkpoint(tmp_path / "script.pt")
