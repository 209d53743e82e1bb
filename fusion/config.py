"""What determines a training run, as one frozen dataclass with a JSON form."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cache.windows import POLICIES
from ..device import check_device_name
from ..errors import ConfigError
from .models.heads import ROLES, describe_head
from .models.regressor import REGRESSORS

TARGETS = ("valence", "arousal")

# Published channels of GRJCA, HGRJCA and TAGF for video and audio; the others follow audio.
TCN_CHANNELS: dict[str, tuple[int, ...]] = {
    "video": (512, 512, 256, 256),
    "audio": (128,) * 4,
    "audio2": (128,) * 4,
    "text": (128,) * 4,
}

_TINY = 1e-12  # stands for "more than zero"
_LOWEST = {
    **dict.fromkeys(("window", "stride", "hidden", "batch", "epochs", "patience"), 1),
    **dict.fromkeys(("warmup_epochs", "plateau_patience", "seed", "fold"), 0),
    "folds": 2,
}
_BETWEEN = {
    "learning_rate": (_TINY, math.inf),
    "clip_norm": (_TINY, math.inf),
    "min_learning_rate": (0.0, math.inf),
    "weight_decay": (0.0, math.inf),
    "plateau_factor": (0.0, 1.0),
    "tcn_dropout": (0.0, 1.0),
    "modality_dropout": (0.0, 1.0),
}


@dataclass(frozen=True)
class FitConfig:
    """Options of `fit`; the defaults follow the protocol of the papers on Aff-Wild2.

    Attributes:
        head: name of the fusion head.
        variant: variant of the head.
        recursions: M, or None for the head's default.
        head_options: further options of the head.
        streams: role -> stream name; empty means the one visual and the one audio stream that
            the cache holds.
        missing_streams: what to do when videos lack a stream: `stop`, or `skip` these videos.
        split: `stored` (the partitions in the cache), `aff-wild2` (the papers' six folds),
            `k-fold`, or the path of a `video,partition` file; see `splits.split`.
        fold: of aff-wild2 (0 is the official split) or k-fold, from 0.
        folds: of k-fold.
        subjects: path of a `video,subject` file that keeps subjects apart; empty means that every
            video file shows a subject of its own.
        targets: `per_target` trains one network for valence and one for arousal, `joint` one
            network with two outputs.
        window: rows per window.
        stride: rows between the starts of windows.
        tcn_channels: role -> channels per TCN level, none for no TCN; roles left out take those
            that were published with the head.
        tcn_kernels: kernel sizes of parallel TCNs whose outputs are concatenated, usually one;
            empty means as published with the head.
        tcn_dropout: dropout inside the TCN.
        causal: whether the TCN sees the past only (as released) or is centred.
        regressor: `mlp`, `linear` or `gelu`; empty means as published with the head.
        hidden: width of the regressor.
        modality_dropout: in training, each stream of a window is withheld (every row replaced by
            the learned token of missing rows) with this probability; one always stays.
        batch: windows per step.
        epochs: at most so many passes over the training windows.
        optimizer: `adam` (weight decay as an L2 term, as in the papers) or `adamw` (decoupled).
        learning_rate: after the warm-up.
        min_learning_rate: the schedule stops here.
        weight_decay: of the optimizer.
        warmup_epochs: the learning rate rises linearly over so many epochs.
        schedule: `plateau` (below; as in the papers), `cosine` (falls over all epochs), `constant`.
        plateau_factor: multiplies the learning rate when validation CCC stands still ...
        plateau_patience: ... for more than so many epochs.
        patience: training stops after so many epochs without a better validation CCC.
        clip_norm: largest norm of the gradient.
        seed: of weights, order and dropout.
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        precision: `float32`, or `bfloat16` for the matrix products of training and prediction
            (weights, statistics, loss and measure stay in float32).
        compile: whether torch.compile prepares the networks for training: slow to start, and worth
            it only for long fits.
        views: whether training draws one of a stream's stored views for each window.
        memory: where features wait: `map` (mapped shards, shared between processes), `ram` (a
            private copy) or `device` (all on the device).
    """

    head: str = "grjca"
    variant: str = "official"
    recursions: int | None = None
    head_options: Mapping[str, Any] = field(default_factory=dict)
    streams: Mapping[str, str] = field(default_factory=dict)
    missing_streams: str = "stop"
    split: str = "stored"
    fold: int = 0
    folds: int = 5
    subjects: str = ""
    targets: str = "per_target"
    window: int = 300
    stride: int = 200
    tcn_channels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    tcn_kernels: tuple[int, ...] = ()
    tcn_dropout: float = 0.1
    causal: bool = True
    regressor: str = ""
    hidden: int = 256
    modality_dropout: float = 0.0
    batch: int = 12
    epochs: int = 100
    optimizer: str = "adam"
    learning_rate: float = 1e-4
    min_learning_rate: float = 1e-8
    weight_decay: float = 1e-3
    warmup_epochs: int = 5
    schedule: str = "plateau"
    plateau_factor: float = 0.1
    plateau_patience: int = 5
    patience: int = 10
    clip_norm: float = 1.0
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"
    compile: bool = False
    views: bool = True
    memory: str = "map"

    def __post_init__(self) -> None:
        """Refuse values that cannot work.

        Raises:
            ConfigError: names the option, its value and what it may be.
        """
        for name, known in (
            ("targets", ("per_target", "joint")),
            ("missing_streams", ("stop", "skip")),
            ("optimizer", ("adam", "adamw")),
            ("schedule", ("plateau", "cosine", "constant")),
            ("memory", (*POLICIES, "device")),
            ("precision", ("float32", "bfloat16")),
            ("regressor", ("", *REGRESSORS)),
        ):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"{name} is `{getattr(self, name)}`; it may be {', '.join(filter(None, known))}"
                )
        check_device_name(str(self.device))
        for name, lowest in _LOWEST.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < lowest:
                raise ConfigError(f"{name} must be a whole number >= {lowest}, got {value!r}")
        for name, (above, below) in _BETWEEN.items():
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not above <= value < below:
                raise ConfigError(f"{name} must be in [{above:g}, {below:g}), got {value!r}")
        if not all(isinstance(size, int) and size >= 1 for size in self.tcn_kernels):
            raise ConfigError(f"tcn_kernels must be whole numbers >= 1, got {self.tcn_kernels!r}")
        if self.stride > self.window:
            raise ConfigError(
                f"stride {self.stride} is longer than the window of {self.window} rows: rows "
                "between windows would never be seen"
            )
        for name in ("head_options", "streams", "tcn_channels"):
            if not isinstance(getattr(self, name), Mapping):
                raise ConfigError(f"{name} must map names to values, got {getattr(self, name)!r}")
        for name in ("streams", "tcn_channels"):
            unknown = sorted(set(getattr(self, name)) - set(ROLES))
            if unknown:
                raise ConfigError(
                    f"{name}: no role is called {', '.join(unknown)}; roles: {', '.join(ROLES)}"
                )

    def resolved(self) -> FitConfig:
        """The same with what was left open taken from the head: recursions, TCNs, regressor.

        Raises:
            ConfigError: no such head.
        """
        info = describe_head(self.head)
        published = {"tcn_channels": {}, "tcn_kernels": (5,), "regressor": "mlp", **info.recipe}
        return dataclasses.replace(
            self,
            recursions=info.recursions if self.recursions is None else self.recursions,
            tcn_channels={**TCN_CHANNELS, **published["tcn_channels"], **self.tcn_channels},
            tcn_kernels=self.tcn_kernels or published["tcn_kernels"],
            regressor=self.regressor or published["regressor"],
        )

    def networks(self) -> dict[str, tuple[str, ...]]:
        """Network name -> the targets it predicts."""
        if self.targets == "joint":
            return {"joint": TARGETS}
        return {target: (target,) for target in TARGETS}

    def to_json(self) -> dict[str, Any]:
        """The options as JSON-able values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FitConfig:
        """Make a configuration from JSON values; options left out take their defaults.

        Raises:
            ConfigError: an option that does not exist, or a value that cannot work.
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"a configuration maps options to values; got {values!r:.40}")
        known = [option.name for option in dataclasses.fields(cls)]
        for name in values:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean `{near[0]}`?" if near else f"options: {', '.join(known)}"
                raise ConfigError(f"no option of fit is called `{name}`; {hint}")
        channels = {role: tuple(levels) for role, levels in values.get("tcn_channels", {}).items()}
        kernels = tuple(values.get("tcn_kernels", ()))
        return cls(**{**values, "tcn_channels": channels, "tcn_kernels": kernels})

    @classmethod
    def load(cls, path: Path) -> FitConfig:
        """Read a configuration from a TOML file, or a JSON file such as a run's config.json.

        Raises:
            ConfigError: the file cannot be read, or holds what `from_json` refuses.
        """
        try:
            text = path.read_text()
            values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the configuration {path}: {error}") from error
        return cls.from_json(values)

    def changed(self, changes: Mapping[str, Any]) -> FitConfig:
        """The same with options changed; `head_options.dropout` names an entry of a mapping.

        Raises:
            ConfigError: an option that does not exist, or a value that cannot work.
        """
        values = self.to_json()
        for name, value in changes.items():
            option, dot, entry = name.partition(".")
            if not dot:
                values[option] = value
            elif isinstance(values.get(option, {}), dict):
                values[option] = {**values.get(option, {}), entry: value}
            else:
                raise ConfigError(f"option {option} has no entries, so {name} cannot be set")
        return FitConfig.from_json(values)

    def differences(self, now: FitConfig) -> str:
        """What another configuration changes, as `batch: 4 then, 5 now; ...`; empty if nothing."""
        ours, theirs = self.to_json(), now.to_json()
        return "; ".join(
            f"{name}: {value!r} then, {theirs[name]!r} now"
            for name, value in ours.items()
            if value != theirs[name]
        )
