"""Checkpoints of the released code, loaded into our modules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ...errors import CheckpointError, some
from .heads.dca import DCA
from .heads.grjca import GRJCA
from .heads.hgrjca import HGRJCA
from .heads.jca import JCA
from .heads.lfan import LFAN
from .heads.lstm import ResidualBiLSTM
from .heads.rjca import RJCA
from .heads.tagf import TAGF
from .tcn import TCN

Rule: TypeAlias = tuple[str, str | Callable[[re.Match[str]], str]]

# The first rule that matches the start of a name renames it; the rest of the name stays. #0 stands
# for the module's first role: modality 1, and entry 0 of `linears`.
_BLOCK = r"(?:coattn\.)?dcn_layers\.(\d+)\."
_ATTENTION: list[Rule] = [
    (_BLOCK + r"dense_coattn\.query_linear\.", r"attention.\1.joint."),
    (
        _BLOCK + r"dense_coattn\.(key|value)(\d)_linear\.",
        lambda m: f"attention.{m[1]}.{m[2]}.#{int(m[3]) - 1}.",
    ),
    (_BLOCK + r"linears\.(\d)\.0\.", r"attention.\1.output.#\2."),
]


def _bilstm(theirs: str, ours: str) -> list[Rule]:
    """Rules of a `ResidualBiLSTM` under other prefixes (patterns with one group at most)."""
    place = {"": "past", "_reverse": "future"}
    return [
        (
            theirs + r"rnn\.(?P<name>(?:weight|bias)_[ih]h)_l(?P<layer>\d)(?P<back>(?:_reverse)?)$",
            lambda m: f"{m.expand(ours)}layers.{m['layer']}.{place[m['back']]}.{m['name']}_l0",
        ),
        (theirs + r"(?P<rest>init_hidden|linear\.)", lambda m: m.expand(ours) + m["rest"]),
    ]


_GUIDE: list[Rule] = [(r"video_attn\.attn\.affine_feat\.", r"guide.")]

_RULES: dict[tuple[type[nn.Module], str], list[Rule]] = {
    (RJCA, "official"): _ATTENTION,
    (JCA, "official"): [*_ATTENTION, *_GUIDE, *_bilstm(r"Joint\.", "joint.")],
    (JCA, "paper"): [
        (r"(?:inner\.)?encoder1\.", "correlation.enter.audio."),
        (r"(?:inner\.)?encoder2\.", "correlation.enter.video."),
        *(
            (rf"(?:inner\.)?{theirs}{letter}\.", f"correlation.{ours}.{role}.")
            for letter, role in (("a", "audio"), ("v", "video"))
            for theirs, ours in (
                ("affine_", "affine"),
                ("W_c", "correlate"),
                ("W_h", "output"),
                ("W_", "project"),
            )
        ),
    ],
    (DCA, "official"): [
        *_ATTENTION,
        *_GUIDE,
        (r"(video|audio)_gating_fc_layer\.", r"gate.\1."),
        *_bilstm(r"(video|audio)_extract\.", r"before.\1."),
        *_bilstm(r"Joint\.", "joint."),
    ],
    (GRJCA, "official"): [*_ATTENTION, (r"(video|audio)_gating_fc_layer\.", r"gate.\1.")],
    (HGRJCA, "official"): [
        *_ATTENTION,
        (r"(video|audio)_gating_fc_layer_stage(\d+)\.", lambda m: f"stage.{int(m[2]) - 1}.{m[1]}."),
        (r"(video|audio)_gating_fc_layer_stage\.", r"gate.\1."),
    ],
    (TAGF, "official"): [
        *_ATTENTION,
        *_bilstm(r"(video|audio)_temporal_encoder\.", r"encoder.\1."),
    ],
    (LFAN, "official"): [(r"layers\.(self_attn|norm1)\.", r"layers.\1.")],
    (ResidualBiLSTM, "official"): _bilstm("", ""),
    (TCN, "official"): [
        # Every convolution is listed twice: under its own name, and as a part of `net`.
        (r"network\.(\d+)\.(?:conv1|net\.0)\.", r"network.\1.conv1."),
        (r"network\.(\d+)\.(?:conv2|net\.4)\.", r"network.\1.conv2."),
        (r"network\.(\d+)\.downsample\.", r"network.\1.downsample."),
    ],
}

# What the released modules carry without using it, and the regressors behind the heads.
_UNUSED = re.compile(
    r"((inner\.)?[va]regressor|Joint|text_gating_\w+|video_attn\.attn\.affine_(audio|video|[vgh]))\."
)

_WEIGHT_NORM = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}


def load_released(
    module: nn.Module, state_dict: Mapping[str, Tensor], modalities: Mapping[str, str] | None = None
) -> None:
    """Load a checkpoint that was trained with the released code into an `official` module.

    Video is modality 1, audio modality 2, and text (or the module's third role) modality 3.
    Entries that the released modules carry without using them are left out: `text_gating_*`, the
    audio-guided attention but for its last Linear, `Joint` of others than jca and dca,
    `query_linear` of three modalities. So are the regressors, and the prefix `module.` of
    DataParallel. Nothing is loaded unless everything fits.

    Args:
        module: a `TCN`, a `ResidualBiLSTM`, or the official head rjca, jca, dca (lstm=False for
            its attention and gates alone), grjca, hgrjca, tagf or lfan, or the paper's jca.
        state_dict: released name -> tensor, of this module alone.
        modalities: for lfan, whose names hold the modality: name there -> role here, such as
            {"vggish": "audio", "logmel": "audio2"}; names left out are roles.

    Raises:
        CheckpointError: a module that was not released; unknown, missing, contradicting or
            misshapen entries, listed.
    """
    variant = getattr(module, "variant", "official")
    if (type(module), variant) not in _RULES:
        stated = f" (variant {variant})" if hasattr(module, "variant") else ""
        raise CheckpointError(
            "load_released takes a TCN, a ResidualBiLSTM, the official heads rjca, jca, dca, "
            f"grjca, hgrjca, tagf and lfan, or the paper's jca; got {type(module).__name__}{stated}"
        )
    rules, roles = _RULES[type(module), variant], list(getattr(module, "dims", {}))
    no_linear = isinstance(module, RJCA) and not module.joint_linear
    own = module.state_dict()
    found: dict[str, Tensor] = {}
    unknown, clashing = [], []
    misshapen: dict[str, str] = {}
    for released, tensor in state_dict.items():
        name = released.removeprefix("module.")
        for modality, role in (modalities or {}).items():
            name = name.replace(f".qkv_proj.{modality}.", f".qkv_proj.{role}.")
        ours = _rename(name, rules, roles)
        if (ours is None and _UNUSED.match(name)) or (no_linear and "query_linear" in name):
            continue
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
        raise CheckpointError(
            f"this checkpoint does not fit the {type(module).__name__}: "
            f"{'; '.join(filter(None, problems))}. Make the module with the dimensions, length and "
            "recursions it was trained with, and pass the entries of this module alone"
        )
    module.load_state_dict(found)


def _rename(name: str, rules: Iterable[Rule], roles: Sequence[str]) -> str | None:
    for pattern, replacement in rules:
        renamed, count = re.subn("^" + pattern, replacement, name)
        if count:
            for number, role in enumerate(roles):
                renamed = renamed.replace(f"#{number}", role)
            return re.sub(r"weight_[gv]$", lambda m: _WEIGHT_NORM[m[0]], renamed)
    return None


def _listed(what: str, names: Iterable[str]) -> str:
    ordered = sorted(names)
    return f"{what}: {some(ordered, 20)}" if ordered else ""
