"""Checkpoints of the released GRJCA, HGRJCA, TAGF, LFAN and TCN code, loaded into our modules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from .heads.grjca import GRJCA
from .heads.hgrjca import HGRJCA
from .heads.lfan import LFAN
from .heads.tagf import TAGF
from .tcn import TCN

Rule: TypeAlias = tuple[str, str | Callable[[re.Match[str]], str]]

_ROLES = {"1": "video", "2": "audio", "0": "video"}  # modality numbers; `linears` count from 0

# What the released modules carry without using it.
_UNUSED = re.compile(r"(Joint|vregressor|aregressor|text_gating_\w+)(\.|$)")

_BLOCK = r"coattn\.dcn_layers\.(\d+)\."
_COATTENTION: list[Rule] = [
    (_BLOCK + r"dense_coattn\.query_linear\.", r"attention.\1.joint."),
    (
        _BLOCK + r"dense_coattn\.(key|value)([12])_linear\.",
        lambda m: f"attention.{m[1]}.{m[2]}.{_ROLES[m[3]]}.",
    ),
    (
        _BLOCK + r"linears\.([01])\.0\.",
        lambda m: f"attention.{m[1]}.output.{('video', 'audio')[int(m[2])]}.",
    ),
]

# The first rule that matches the start of a name renames it; the rest of the name stays.
_RULES: dict[type[nn.Module], list[Rule]] = {
    GRJCA: [*_COATTENTION, (r"(video|audio)_gating_fc_layer\.", r"gate.\1.")],
    HGRJCA: [
        *_COATTENTION,
        (
            r"(video|audio)_gating_fc_layer_stage(\d+)\.",
            lambda m: f"stage.{int(m[2]) - 1}.{m[1]}.",
        ),
        (r"(video|audio)_gating_fc_layer_stage\.", r"gate.\1."),
    ],
    TAGF: [*_COATTENTION, (r"(video|audio)_temporal_encoder\.", r"encoder.\1.")],
    LFAN: [(r"layers\.(self_attn|norm1)\.", r"layers.\1.")],
    TCN: [
        # Every convolution is listed twice: under its own name, and as a part of `net`.
        (r"network\.(\d+)\.(?:conv1|net\.0)\.", r"network.\1.conv1."),
        (r"network\.(\d+)\.(?:conv2|net\.4)\.", r"network.\1.conv2."),
        (r"network\.(\d+)\.downsample\.", r"network.\1.downsample."),
    ],
}

_WEIGHT_NORM = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}


def load_released(
    module: nn.Module,
    state_dict: Mapping[str, Tensor],
    modalities: Mapping[str, str] | None = None,
) -> None:
    """Load a checkpoint that was trained with the released code into an `official` module.

    Video is modality 1 and audio modality 2. Entries that the released modules carry without
    using them (`Joint`, `vregressor`, `aregressor`, `text_gating_*`) are left out, and the prefix
    `module.` of DataParallel is taken off. Nothing is loaded unless everything fits.

    Args:
        module: a `TCN`, or the official head grjca, hgrjca, tagf or lfan.
        state_dict: released name -> tensor, of this module alone.
        modalities: for lfan, whose names hold the modality: name there -> role here, such as
            {"vggish": "audio", "logmel": "audio2"}; names left out are roles.

    Raises:
        ConfigError: a module that was not released; unknown, missing, contradicting or misshapen
            entries, listed.
    """
    rules = _RULES.get(type(module))
    if rules is None or getattr(module, "variant", "official") != "official":
        variant = getattr(module, "variant", "")
        raise ConfigError(
            f"load_released takes a TCN or the official heads grjca, hgrjca, tagf and lfan; got "
            f"{type(module).__name__}{f' (variant {variant})' if variant else ''}"
        )
    own = module.state_dict()
    found: dict[str, Tensor] = {}
    unknown, clashing = [], []
    misshapen: dict[str, str] = {}
    for released, tensor in state_dict.items():
        name = released.removeprefix("module.")
        if _UNUSED.match(name):
            continue
        for modality, role in (modalities or {}).items():
            name = name.replace(f".qkv_proj.{modality}.", f".qkv_proj.{role}.")
        ours = _rename(name, rules)
        if ours not in own:
            unknown.append(released)
        elif ours in found and not torch.equal(found[ours], tensor):
            clashing.append(released)
        elif own[ours].shape != tensor.shape:
            misshapen[ours] = f"{released} {list(tensor.shape)}, here {list(own[ours].shape)}"
        else:
            found[ours] = tensor
    problems = [
        _listed("unknown entries", unknown),
        _listed("missing", own.keys() - found.keys() - misshapen.keys()),
        _listed("entries that differ from an earlier one of the same weight", clashing),
        _listed("entries of another shape", misshapen.values()),
    ]
    if any(problems):
        raise ConfigError(
            f"this checkpoint does not fit the {type(module).__name__}: "
            f"{'; '.join(filter(None, problems))}. Make the module with the dimensions, length and "
            "recursions it was trained with, and pass the entries of this module alone"
        )
    module.load_state_dict(found)


def _rename(name: str, rules: Iterable[Rule]) -> str | None:
    for pattern, replacement in rules:
        renamed, count = re.subn("^" + pattern, replacement, name)
        if count:
            head, _, last = renamed.rpartition(".")
            return f"{head}.{_WEIGHT_NORM.get(last, last)}"
    return None


def _listed(what: str, names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - 20} more" if len(ordered) > 20 else ""
    return f"{what}: {', '.join(ordered[:20])}{more}" if ordered else ""
