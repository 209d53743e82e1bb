"""Recipes: how papers and their released code train, and how fits do otherwise; with sources.

An option that is left open takes the value of the recipe. `DEFAULTS` is the recipe `default`, the
same for every head; a head's `published` is what `published` changes. Both name where each value
comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RECIPES = ("default", "published")


@dataclass(frozen=True)
class Stated:
    """A value of an option of `FitConfig`, and where it comes from."""

    value: Any
    source: str


# Published channels of GRJCA, HGRJCA and TAGF for video and audio; the others follow audio.
TCN_CHANNELS: dict[str, tuple[int, ...]] = {
    "video": (512, 512, 256, 256),
    "audio": (128,) * 4,
    "audio2": (128,) * 4,
    "text": (128,) * 4,
}

# Kind of regressor -> usual width of its hidden layer.
REGRESSORS = {"mlp": 256, "linear": 0, "gelu": 256, "relu": 128}

# What makes the model: as published under either recipe, where the head says so.
STRUCTURE = ("recursions", "tcn_channels", "tcn_kernels", "tcn_norm", "regressor", "hidden")

_PROTOCOL = "the papers' protocol on Aff-Wild2"
_OURS = "ours"
_AS_GRJCA = "as GRJCA, HGRJCA and TAGF"

DEFAULTS: dict[str, Stated] = {
    "tcn_channels": Stated(TCN_CHANNELS, "as GRJCA, HGRJCA and TAGF; other streams as audio: ours"),
    "tcn_kernels": Stated((5,), _AS_GRJCA),
    "regressor": Stated("mlp", _AS_GRJCA),
    "hidden": Stated(256, _AS_GRJCA),
    "tcn_norm": Stated(False, _AS_GRJCA),
    "missing": Stated("token", _OURS),
    "targets": Stated("per_target", _PROTOCOL),
    "batch": Stated(12, _PROTOCOL),
    "epochs": Stated(100, _PROTOCOL),
    "optimizer": Stated("adam", _PROTOCOL),
    "learning_rate": Stated(1e-4, "upper end of the papers' 1e-5 to 1e-4"),
    "min_learning_rate": Stated(1e-8, _PROTOCOL),
    "weight_decay": Stated(1e-3, _PROTOCOL),
    "warmup_epochs": Stated(5, "released code of LFAN and RJCMA"),
    "warmup": Stated("linear", _OURS),
    "schedule": Stated("plateau", _PROTOCOL),
    "plateau_factor": Stated(0.1, _PROTOCOL),
    "plateau_patience": Stated(5, _PROTOCOL),
    "patience": Stated(10, _PROTOCOL),
    "restore_best": Stated("at_end", _OURS),
    "clip_norm": Stated(1.0, _OURS),
    "loss_ddof": Stated(0, "the challenge's measure"),
}

# GRJCA, HGRJCA and TAGF are what the default takes its structure from.
RELEASED_MODEL: Mapping[str, Stated] = {
    "tcn_channels": Stated(TCN_CHANNELS, "released code; other streams as audio: ours"),
    **{
        name: Stated(DEFAULTS[name].value, "released code")
        for name in ("tcn_kernels", "regressor", "hidden", "tcn_norm")
    },
}

_FRAMEWORK = "released code, in the framework of LFAN and RJCMA"
_MISSING = "missing crops are black images; in a cache they are zeros after normalisation"

# The framework that LFAN, RJCMA, GRJCA, HGRJCA and TAGF were released in.
RELEASED_FRAMEWORK: Mapping[str, Stated] = {
    "missing": Stated("zero", _MISSING),
    "targets": Stated("per_target", _FRAMEWORK),
    "batch": Stated(12, _FRAMEWORK),
    "epochs": Stated(100, _FRAMEWORK),
    "optimizer": Stated("adam", _FRAMEWORK),
    "learning_rate": Stated(1e-5, _FRAMEWORK),
    "min_learning_rate": Stated(1e-8, _FRAMEWORK),
    "weight_decay": Stated(1e-3, _FRAMEWORK),
    "warmup_epochs": Stated(5, _FRAMEWORK),
    "warmup": Stated("sawtooth", _FRAMEWORK),
    "schedule": Stated("plateau", _FRAMEWORK),
    "plateau_factor": Stated(0.1, _FRAMEWORK),
    "plateau_patience": Stated(5, _FRAMEWORK),
    "patience": Stated(50, f"{_FRAMEWORK}; the papers print 10"),
    "restore_best": Stated("each_epoch", f"{_FRAMEWORK} (load_best_at_each_epoch)"),
    "clip_norm": Stated(0.0, "released code: no clipping"),
    "loss_ddof": Stated(1, f"{_FRAMEWORK} (CCCLoss)"),
}

# JCA's and DCA's: windows of 16 positions, each a clip of frames 4 apart.
RELEASED_CLIPS: Mapping[str, Stated] = {
    "targets": Stated("joint", "released code: two regressors on one network"),
    "batch": Stated(64, "released configuration, for windows of 16 positions"),
    "warmup_epochs": Stated(0, "released code"),
    "schedule": Stated("plateau", "released code, there on the training loss"),
    "plateau_factor": Stated(0.5, "released code"),
    "plateau_patience": Stated(10, "released code"),
    "restore_best": Stated("at_end", "released code"),
    "clip_norm": Stated(0.0, "released code: no clipping"),
}
RELEASED_CLIPS_RATE = (
    "released configuration; its loop sets 1e-3 * 0.8^n from epoch 7 on, which is left out"
)
