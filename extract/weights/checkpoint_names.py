"""From the key names of well-known public checkpoints to those of our networks.

Pure renaming of state dicts; reading files and checking the fit is `checkpoints`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

import torch

State = dict[str, torch.Tensor]

# Put in front of every key by DataParallel, and by networks that hold the backbone as a member.
_PREFIXES = ("module.", "backbone.", "model.")

# What public files hold besides the network that computes the features: classifiers and heads.
_EXTRAS = {
    "resnet50": ("fc.",),
    "facenet": ("logits.",),
    "ir50": ("logits.",),
    "vggish": ("pproc.",),
    "vggish-pca": (),
    "wavlm": ("masked_spec_embed", "mask_generator.", "aux.", "lm_head."),
}

# One key that tells each network apart from the others.
_SIGNS = {
    "input_layer.0.weight": "ir50",
    "layer1.0.conv1.weight": "resnet50",
    "conv2d_1a.conv.weight": "facenet",
    "embeddings.0.weight": "vggish",
    "pca_eigen_vectors": "vggish-pca",
    "encoder.transformer.layer_norm.weight": "wavlm",
    "encoder.layers.0.attention.gru_rel_pos_const": "wavlm",
}


def rename(state: Mapping[str, torch.Tensor], architecture: str, wanted: Collection[str]) -> State:
    """The state under our names, without what the network has no use for.

    Args:
        state: as read from the file.
        architecture: a name of `networks.architectures.ARCHITECTURES`.
        wanted: the keys of our network; only keys outside it are ever dropped.
    """
    family = _family(architecture)
    renamed = _RENAMES.get(family, dict)(strip_prefixes(state, wanted))
    extras = _EXTRAS[family]
    return {
        key: value
        for key, value in renamed.items()
        if key in wanted or not key.startswith(tuple(extras))
    }


def strip_prefixes(state: Mapping[str, torch.Tensor], wanted: Collection[str]) -> State:
    """Remove wrapper prefixes as long as no key is one of ours."""
    stripped = dict(state)
    for _ in _PREFIXES:
        for prefix in _PREFIXES:
            if stripped.keys().isdisjoint(wanted) and any(k.startswith(prefix) for k in stripped):
                stripped = {key.removeprefix(prefix): value for key, value in stripped.items()}
    return stripped


def recognise(state: Mapping[str, torch.Tensor]) -> str | None:
    """The family of networks a state belongs to, where its keys tell."""
    stripped = strip_prefixes(_without_member(state, "wavlm."), _SIGNS)
    return next((family for sign, family in _SIGNS.items() if sign in stripped), None)


def _family(architecture: str) -> str:
    return "wavlm" if architecture.startswith("wavlm-") else architecture


def _without_member(state: Mapping[str, torch.Tensor], member: str) -> State:
    """What lies in one member of a larger network, where the state has it; else all of it."""
    inside = {k.removeprefix(member): v for k, v in state.items() if k.startswith(member)}
    return inside or dict(state)


def _wavlm(state: State) -> State:
    """Transformers' names, or older torchaudio names, to those of torchaudio's `wavlm_model`."""
    state = _without_member(state, "wavlm.")
    if "feature_projection.projection.weight" in state:
        state = {_torchaudio_name(key): value for key, value in state.items()}
        _join_attention(state)
    for end, new in (("weight_g", "original0"), ("weight_v", "original1")):
        old = f"encoder.transformer.pos_conv_embed.conv.{end}"
        if old in state:  # weight norm as PyTorch 1 wrote it
            name = f"encoder.transformer.pos_conv_embed.conv.parametrizations.weight.{new}"
            state[name] = state.pop(old)
    return state


def _torchaudio_name(key: str) -> str:
    """One name of Transformers' WavLM in torchaudio, apart from the attention's projections."""
    if key.startswith("encoder."):
        return f"encoder.transformer.{key.removeprefix('encoder.')}"
    if key.startswith("feature_projection."):
        return f"encoder.{key}"
    return key


_QUERY = re.compile(r"(?P<layer>.*\.attention\.)q_proj\.(?P<kind>weight|bias)")


def _join_attention(state: State) -> None:
    """Query, key and value projections stacked, as torch.nn.MultiheadAttention keeps them."""
    for key in list(state):
        match = _QUERY.fullmatch(key)
        if match is None:
            continue
        layer, kind = match["layer"], match["kind"]
        parts = [f"{layer}{part}_proj.{kind}" for part in "qkv"]
        if all(part in state for part in parts):
            joined = torch.cat([state.pop(part) for part in parts])
            state[f"{layer}attention.in_proj_{kind}"] = joined
        if f"{layer}out_proj.{kind}" in state:
            state[f"{layer}attention.out_proj.{kind}"] = state.pop(f"{layer}out_proj.{kind}")


def _vggish_pca(state: State) -> State:
    """The means as a vector; some ports keep them as a column."""
    return {key: value.flatten() if key == "pca_means" else value for key, value in state.items()}


_RENAMES: dict[str, Callable[[State], State]] = {"wavlm": _wavlm, "vggish-pca": _vggish_pca}
