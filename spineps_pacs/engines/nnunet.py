"""nnU-Net v2 model folders: the plan, the network built from it, and its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from spineps_pacs.domain.errors import ModelError
from spineps_pacs.engines.pickles import load_checkpoint

_ARCHITECTURES = {"PlainConvUNet", "ResidualEncoderUNet", "ResidualUNet"}
_BRICKS: dict[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        nn.Conv3d, nn.InstanceNorm3d, nn.BatchNorm3d, nn.Dropout3d, nn.LeakyReLU, nn.ReLU, nn.GELU, nn.SiLU, nn.ELU,
        nn.PReLU, nn.Identity,
    )
}  # fmt: skip
"""All that a plan may name; nothing is imported by a name out of a file."""
_OLD_STYLE: dict[str, Any] = {
    "conv_op": "Conv3d", "conv_bias": True, "norm_op": "InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-5, "affine": True}, "dropout_op": None, "dropout_op_kwargs": None,
    "nonlin": "LeakyReLU", "nonlin_kwargs": {"inplace": True},
}  # fmt: skip
_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")


@dataclass(frozen=True)
class Resampling:
    """How arrays come to another shape: spline orders within and along the coarse axis; None: decide by the spacing."""

    function: str
    order: int
    order_z: int
    force_separate_z: bool | None


@dataclass(frozen=True)
class Plan:
    """What `plans.json` and `dataset.json` say. Spacing and patch are in the network's own order of axes."""

    patch: tuple[int, int, int]
    spacing: tuple[float, float, float]
    forward: tuple[int, int, int]
    backward: tuple[int, int, int]
    schemes: tuple[str, ...]
    masked: tuple[bool, ...]
    intensities: Mapping[str, Mapping[str, float]]
    heads: int
    regions: tuple[int, ...] | None
    images: Resampling
    logits: Resampling
    architecture: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Fold:
    """One checkpoint: its file, weights, configuration and the axes along which it may be mirrored."""

    path: Path
    weights: Mapping[str, Tensor]
    configuration: str
    mirror_axes: tuple[int, ...]


def find_checkpoints(folder: Path, folds: tuple[str, ...]) -> tuple[Path, ...]:
    """One file per fold: the final ones, else the best ones; without the folds asked for, those of fold `all`."""
    for names in (folds, ("all",)):
        for file in _CHECKPOINTS:
            paths = tuple(folder / f"fold_{name}" / file for name in names)
            if all(path.is_file() for path in paths):
                return paths
    finals = [f"fold_{name}/{_CHECKPOINTS[0]}" for name in folds]
    lacking = [final for final in finals if not (folder / final).is_file()]
    raise ModelError(f"{folder} lacks {', '.join(lacking)} (or {_CHECKPOINTS[1]} for every fold)")


def read_fold(path: Path) -> Fold:
    """Reads one checkpoint."""
    content = load_checkpoint(path)
    weights, arguments = content.get("network_weights"), content.get("init_args")
    configuration = arguments.get("configuration") if isinstance(arguments, dict) else None
    if not isinstance(weights, dict) or not isinstance(configuration, str):
        raise ModelError(f"{path} is no nnU-Net checkpoint: it lacks network_weights or init_args.configuration")
    axes = content.get("inference_allowed_mirroring_axes") or ()
    return Fold(path, weights, configuration, tuple(int(axis) for axis in axes))


def read_plan(folder: Path, configuration: str) -> Plan:
    """Reads plans of both styles, old (`UNet_class_name`) and new (`architecture`)."""
    plans, dataset = _json(folder / "plans.json"), _json(folder / "dataset.json")
    try:
        return _plan(plans, dataset, _resolved(plans["configurations"], configuration))
    except KeyError as error:
        raise ModelError(f"{folder}/plans.json or dataset.json lacks {error}") from error
    except (TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelError(f"{folder}/plans.json or dataset.json cannot be understood: {error}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not an object")
    return content


def _resolved(configurations: Mapping[str, Any], name: str, depth: int = 8) -> dict[str, Any]:
    """A configuration with all that it inherits."""
    own = dict(configurations[name])
    parent = own.pop("inherits_from", None)
    if parent is None:
        return own
    if depth == 0:
        raise ValueError(f"configuration {name} inherits in a circle")
    return {**_resolved(configurations, parent, depth - 1), **own}


def _plan(plans: Mapping[str, Any], dataset: Mapping[str, Any], configuration: Mapping[str, Any]) -> Plan:
    channels = dataset.get("channel_names") or dataset["modality"]
    if len(channels) != 1 or configuration.get("previous_stage"):
        raise ValueError(f"only models of one image are supported, this one takes {len(channels)} (or a cascade)")
    if len(configuration["patch_size"]) != 3:
        raise ValueError(f"only 3-D configurations are supported, the patch is {configuration['patch_size']}")
    heads, regions = _heads(dataset)
    architecture, arguments = _architecture(configuration)
    return Plan(
        patch=_three(int, configuration["patch_size"]),
        spacing=_three(float, configuration["spacing"]),
        forward=_three(int, plans["transpose_forward"]),
        backward=_three(int, plans["transpose_backward"]),
        schemes=tuple(configuration["normalization_schemes"]),
        masked=tuple(bool(m) for m in configuration["use_mask_for_norm"]),
        intensities=plans.get("foreground_intensity_properties_per_channel", {}),
        heads=heads,
        regions=regions,
        images=_resampling(configuration, "data"),
        logits=_resampling(configuration, "probabilities"),
        architecture=architecture,
        arguments={**arguments, "input_channels": len(channels), "num_classes": heads},
    )


def _three(kind: type, values: Any) -> Any:
    a, b, c = (kind(v) for v in values)
    return a, b, c


def _resampling(configuration: Mapping[str, Any], of: str) -> Resampling:
    options = configuration.get(f"resampling_fn_{of}_kwargs", {})
    return Resampling(
        function=str(configuration.get(f"resampling_fn_{of}", "resample_data_or_seg_to_shape")),
        order=int(options.get("order", 3 if of == "data" else 1)),
        order_z=int(options.get("order_z", 0)),
        force_separate_z=options.get("force_separate_z"),
    )


def _heads(dataset: Mapping[str, Any]) -> tuple[int, tuple[int, ...] | None]:
    """How many channels the network gives, and for regions the id that each of them writes, in order."""
    labels = {name: value for name, value in dataset["labels"].items() if name != "ignore"}
    if any(isinstance(value, list) and len(value) > 1 for value in labels.values()):
        order = tuple(int(c) for c in dataset["regions_class_order"])
        return len(order), order
    ids = {int(v) for value in labels.values() for v in (value if isinstance(value, list) else [value])}
    return len(ids), None


def _architecture(configuration: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Class name and arguments of the network, from a plan of either style."""
    if "architecture" in configuration:
        block = configuration["architecture"]
        arguments = dict(block["arch_kwargs"])
        for name in block.get("_kw_requires_import", ()):
            arguments[name] = _brick(arguments[name], name)
        return str(block["network_class_name"]).rpartition(".")[2], arguments
    name = str(configuration["UNet_class_name"])
    kernels = configuration.get("conv_kernel_sizes") or configuration["kernel_sizes"]
    base, most = configuration["UNet_base_num_features"], configuration["unet_max_num_features"]
    blocks = "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage"
    arguments = {
        **{
            key: _brick(value, key) if key in {"conv_op", "norm_op", "nonlin"} else value
            for key, value in _OLD_STYLE.items()
        },
        "n_stages": len(kernels),
        "features_per_stage": [min(base * 2**stage, most) for stage in range(len(kernels))],
        "kernel_sizes": kernels,
        "strides": configuration["pool_op_kernel_sizes"],
        blocks: configuration["n_conv_per_stage_encoder"],
        "n_conv_per_stage_decoder": configuration["n_conv_per_stage_decoder"],
    }
    return name, arguments


def _brick(name: Any, role: str) -> type[nn.Module] | None:
    if name is None:
        return None
    last = str(name).rpartition(".")[2]
    if last not in _BRICKS:
        raise ValueError(f"the plan names {name} for {role}, which is not among {', '.join(sorted(_BRICKS))}")
    return _BRICKS[last]


def build_network(plan: Plan) -> nn.Module:
    """The network of a plan, without weights."""
    from dynamic_network_architectures.architectures import unet

    if plan.architecture not in _ARCHITECTURES:
        known = ", ".join(sorted(_ARCHITECTURES))
        raise ModelError(f"the plan names the network {plan.architecture}, which is not among {known}")
    try:
        network: nn.Module = getattr(unet, plan.architecture)(**{**plan.arguments, "deep_supervision": False})
    except (TypeError, ValueError, AssertionError, IndexError) as error:
        raise ModelError(f"no {plan.architecture} can be built from the plan: {error}") from error
    return network


def load_weights(network: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Fills a network by name. One tensor may stand under several names; what the network does not know is left."""
    given = {_bare(name): tensor for name, tensor in weights.items()}
    own = network.state_dict()
    names: dict[int, list[str]] = {}
    for name, tensor in own.items():
        names.setdefault(tensor.data_ptr(), []).append(name)
    for same in names.values():
        found = next((given[name] for name in same if name in given), None)
        if found is None:
            raise ModelError(f"{path} lacks the weights {same[0]}")
        if found.shape != own[same[0]].shape:
            sizes = f"{tuple(found.shape)}, the network has {tuple(own[same[0]].shape)}"
            raise ModelError(f"{path}: the weights {same[0]} are {sizes}")
        own[same[0]].copy_(found)


def _bare(name: str) -> str:
    """A parameter's name without what a wrapper put before it."""
    for prefix in ("module.", "_orig_mod."):
        name = name.removeprefix(prefix)
    return name
