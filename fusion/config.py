"""What determines a training run, as one frozen dataclass with a JSON form."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from ..cache.windows import POLICIES
from ..device import check_device_name
from ..errors import ConfigError
from .models.heads import ROLES, check_options, describe_head
from .models.regressor import REGRESSORS
from .typed import Among, Within, conform, types_of

TARGETS = ("valence", "arousal")

# Published channels of GRJCA, HGRJCA and TAGF for video and audio; the others follow audio.
TCN_CHANNELS: dict[str, tuple[int, ...]] = {
    "video": (512, 512, 256, 256),
    "audio": (128,) * 4,
    "audio2": (128,) * 4,
    "text": (128,) * 4,
}

Whole = Annotated[int, Within(0)]
Count = Annotated[int, Within(1)]
Positive = Annotated[float, Within(0, open=True)]
NotNegative = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]
Role = Annotated[str, Among(ROLES)]


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
        regressor: `mlp`, `linear`, `gelu` or `relu`; empty means as published with the head.
        hidden: width of the regressor, or None as published with the head.
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
    recursions: Count | None = None
    head_options: Mapping[str, Any] = field(default_factory=dict)
    streams: Mapping[Role, str] = field(default_factory=dict)
    missing_streams: Annotated[str, Among(("stop", "skip"))] = "stop"
    split: str = "stored"
    fold: Whole = 0
    folds: Annotated[int, Within(2)] = 5
    subjects: str = ""
    targets: Annotated[str, Among(("per_target", "joint"))] = "per_target"
    window: Count = 300
    stride: Count = 200
    tcn_channels: Mapping[Role, tuple[Count, ...]] = field(default_factory=dict)
    tcn_kernels: tuple[Count, ...] = ()
    tcn_dropout: Share = 0.1
    causal: bool = True
    regressor: Annotated[str, Among(("", *REGRESSORS))] = ""
    hidden: Count | None = None
    modality_dropout: Share = 0.0
    batch: Count = 12
    epochs: Count = 100
    optimizer: Annotated[str, Among(("adam", "adamw"))] = "adam"
    learning_rate: Positive = 1e-4
    min_learning_rate: NotNegative = 1e-8
    weight_decay: NotNegative = 1e-3
    warmup_epochs: Whole = 5
    schedule: Annotated[str, Among(("plateau", "cosine", "constant"))] = "plateau"
    plateau_factor: Share = 0.1
    plateau_patience: Whole = 5
    patience: Count = 10
    clip_norm: Positive = 1.0
    seed: Annotated[int, Within(0, 2**63)] = 0
    device: str = "auto"
    precision: Annotated[str, Among(("float32", "bfloat16"))] = "float32"
    compile: bool = False
    views: bool = True
    memory: Annotated[str, Among((*POLICIES, "device"))] = "map"

    def __post_init__(self) -> None:
        """Give every value its annotated type; refuse values that cannot work.

        Raises:
            ConfigError: names the option, its value and what it may be.
        """
        for name, kind in option_types().items():
            object.__setattr__(self, name, conform(name, getattr(self, name), kind))
        check_device_name(self.device)
        options = check_options(self.head, self.head_options)
        object.__setattr__(self, "head_options", options)
        if self.stride > self.window:
            raise ConfigError(
                f"stride {self.stride} is longer than the window of {self.window} rows: rows "
                "between windows would never be seen"
            )

    def resolved(self) -> FitConfig:
        """The same with what was left open taken from the head: recursions, TCNs, regressor.

        Raises:
            ConfigError: no such head.
        """
        info = describe_head(self.head)
        published: dict[str, Any] = {
            "tcn_channels": {},
            "tcn_kernels": (5,),
            "regressor": "mlp",
            "hidden": 256,
        }
        published |= info.recipe
        return dataclasses.replace(
            self,
            recursions=info.recursions if self.recursions is None else self.recursions,
            tcn_channels={**TCN_CHANNELS, **published["tcn_channels"], **self.tcn_channels},
            tcn_kernels=self.tcn_kernels or published["tcn_kernels"],
            regressor=self.regressor or published["regressor"],
            hidden=published["hidden"] if self.hidden is None else self.hidden,
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
        for name in values:
            check_option(name)
        return cls(**values)

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
            check_option(option)
            if not dot:
                values[option] = value
            elif isinstance(values[option], Mapping):
                values[option] = {**values[option], entry: value}
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


@functools.cache
def option_types() -> dict[str, Any]:
    """Option of `FitConfig` -> its annotated type."""
    return types_of(FitConfig)


def check_option(name: str) -> None:
    """Refuse what is no option.

    Raises:
        ConfigError: says which options there are.
    """
    known = option_types()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"options: {', '.join(known)}"
        raise ConfigError(f"no option of fit is called `{name}`; {hint}")
