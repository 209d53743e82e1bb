"""What determines a training run, as one frozen dataclass with a JSON form."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_origin

from ..cache.header_checks import TARGETS
from ..cache.windows import POLICIES
from ..device import check_device_name
from ..errors import ConfigError
from .heads import ROLES, check_options, describe_head, resolve_variant
from .recipes import DEFAULTS, RECIPES, REGRESSORS, STRUCTURE, TCN_CHANNELS, Stated
from .typed import Among, Within, conform, types_of

OPEN: Any = None  # an option that `FitConfig.resolved` takes from the recipe

Whole = Annotated[int, Within(0)]
Count = Annotated[int, Within(1)]
Positive = Annotated[float, Within(0, open=True)]
NotNegative = Annotated[float, Within(0)]
Share = Annotated[float, Within(0, 1)]
Role = Annotated[str, Among(ROLES)]


@dataclass(frozen=True)
class FitConfig:
    """Options of `fit`; the defaults follow the protocol of the papers on Aff-Wild2.

    Options that are left open (None, or empty) take their values from the recipe: `resolved` fills
    them in. What is set wins.

    Attributes:
        head: name of the fusion head.
        variant: variant of the head.
        recipe: `default` (the same for every head, see `recipes.DEFAULTS`) or `published` (how the
            head's paper or released code trains, see its `published`).
        recursions: M, or None for the head's default.
        head_options: further options of the head.
        streams: role -> stream name; empty means the one visual and the one audio stream that
            the cache holds.
        label_delay: seconds by which the annotation lags behind the picture: training pairs a frame
            with what was annotated so much later, and predictions are given back so much later, so
            that they are compared with the annotation as it is.
        least_annotated: share of the frames of each partition's videos below which a fit does not
            start: annotations of another rate cover the beginnings only.
        missing_streams: what to do when videos lack a stream: `stop`, or `skip` these videos.
        min_speech: share of a training window's frames that must be speech (0.5 or more in the
            stream `vad`) for the window to be trained on; 0 takes all and needs no such stream.
        split: `stored` (the partitions in the cache), `aff-wild2` (the papers' six folds),
            `k-fold`, `leave-one-subject-out`, or the path of a `video,partition` file; see
            `splits.split`.
        fold: of aff-wild2 (0 is the official split) or k-fold, from 0.
        folds: of k-fold.
        subjects: path of a `video,subject` file that keeps subjects apart; empty means that every
            video file shows a subject of its own.
        targets: `per_target` trains one network for each target, `joint` one with an output for
            each.
        target_names: what is learned; empty means whatever the cache has annotations of, which is
            valence and arousal unless the files name others.
        window: rows per window.
        stride: rows between the starts of windows.
        tcn_channels: role -> channels per TCN level, none for no TCN; roles left out take those
            that were published with the head.
        tcn_kernels: kernel sizes of parallel TCNs whose outputs are concatenated, usually one;
            empty means as published with the head.
        tcn_dropout: dropout inside the TCN.
        tcn_norm: whether BatchNorm follows the TCN of each stream.
        causal: whether the TCN sees the past only (as released) or is centred.
        regressor: `mlp`, `linear`, `gelu` or `relu`; empty means as published with the head.
        hidden: width of the regressor; as published with the head.
        missing: how rows without a face or sound enter: `token` (learned, one per stream), `zero`
            (the mean of the training rows), or `exclude` (as token, and frames without a usable
            row of the video do not count in the loss; they are predicted and scored as ever).
        modality_dropout: in training, each stream of a window is withheld (every row replaced by
            the learned token of missing rows) with this probability; one always stays.
        batch: windows per step.
        epochs: at most so many passes over the training windows.
        optimizer: `adam` (weight decay as an L2 term, as in the papers) or `adamw` (decoupled).
        learning_rate: after the warm-up.
        min_learning_rate: the schedule stops here.
        weight_decay: of the optimizer.
        warmup_epochs: the learning rate rises over so many epochs W.
        warmup: `linear`, or `sawtooth` as released: in epoch e it rises from 0 to e / W^2 of the
            learning rate, which is taken whole after the last of them.
        schedule: `plateau` (below; as in the papers), `cosine` (falls over all epochs), `constant`.
        plateau_factor: multiplies the learning rate when validation CCC stands still ...
        plateau_patience: ... for more than so many epochs.
        patience: training stops after so many epochs without a better validation CCC; those of
            the warm-up are not counted.
        restore_best: `at_end`, or `each_epoch`: an epoch that was no better is undone, so that the
            next begins with the best weights.
        clip_norm: largest norm of the gradient; 0 does not clip.
        loss_ddof: 0 for population moments in the loss, 1 for those of the released loss.
        init_from: folder of a finished run; its weights, and its normalisation, are the start of
            whatever has their names and shapes. Empty for a start at random.
        freeze: parts of every network that are not trained, such as `encoders.video` or `head`.
        seed: of weights, order and dropout.
        device: `auto` (CUDA where there is one), `cpu`, `cuda` or `cuda:N`.
        precision: `float32`, or `bfloat16` for the matrix products of training and prediction
            (weights, LSTMs, statistics, loss and measure stay in float32).
        compile: whether torch.compile prepares the networks for training: slow to start, and worth
            it only for long fits.
        views: whether training draws one of a stream's stored views for each window.
        memory: where features wait: `map` (mapped shards, shared between processes), `ram` (a
            private copy) or `device` (all on the device).
    """

    head: str = "grjca"
    variant: str = "official"
    recipe: Annotated[str, Among(RECIPES)] = "default"
    recursions: Count | None = None
    head_options: Mapping[str, Any] = field(default_factory=dict)
    streams: Mapping[Role, str] = field(default_factory=dict)
    label_delay: Annotated[float, Within(0, 60)] = 0.0
    least_annotated: Share = 0.5
    missing_streams: Annotated[str, Among(("stop", "skip"))] = "stop"
    min_speech: Share = 0.0
    split: str = "stored"
    fold: Whole = 0
    folds: Annotated[int, Within(2)] = 5
    subjects: str = ""
    targets: Annotated[str, Among(("per_target", "joint"))] = OPEN
    target_names: tuple[str, ...] = ()
    window: Count = 300
    stride: Count = 200
    tcn_channels: Mapping[Role, tuple[Count, ...]] = field(default_factory=dict)
    tcn_kernels: tuple[Count, ...] = ()
    tcn_dropout: Share = 0.1
    tcn_norm: bool = OPEN
    causal: bool = True
    regressor: Annotated[str, Among(("", *REGRESSORS))] = ""
    hidden: Count = OPEN
    missing: Annotated[str, Among(("token", "zero", "exclude"))] = OPEN
    modality_dropout: Share = 0.0
    batch: Count = OPEN
    epochs: Count = OPEN
    optimizer: Annotated[str, Among(("adam", "adamw"))] = OPEN
    learning_rate: Positive = OPEN
    min_learning_rate: NotNegative = OPEN
    weight_decay: NotNegative = OPEN
    warmup_epochs: Whole = OPEN
    warmup: Annotated[str, Among(("linear", "sawtooth"))] = OPEN
    schedule: Annotated[str, Among(("plateau", "cosine", "constant"))] = OPEN
    plateau_factor: Share = OPEN
    plateau_patience: Whole = OPEN
    patience: Count = OPEN
    restore_best: Annotated[str, Among(("at_end", "each_epoch"))] = OPEN
    clip_norm: NotNegative = OPEN
    loss_ddof: Annotated[int, Within(0, 2)] = OPEN
    init_from: str = ""
    freeze: tuple[str, ...] = ()
    seed: Annotated[int, Within(0, 2**63)] = 0
    device: str = "auto"
    precision: Annotated[str, Among(("float32", "bfloat16"))] = "float32"
    compile: bool = False
    views: bool = True
    memory: Annotated[str, Among((*POLICIES, "device"))] = "map"

    def __post_init__(self) -> None:
        """Give every value its annotated type; refuse values that cannot work."""
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
        """The same with what was left open taken from the recipe, and the variant that is built.

        Raises:
            ConfigError: no such head or variant, or no such recipe of it.
        """
        values = {
            name: stated.value
            for name, stated in recipe_of(self.head, self.recipe).items()
            if getattr(self, name) in (OPEN, "", ())
        }
        channels = {**recipe_of(self.head, self.recipe)["tcn_channels"].value, **self.tcn_channels}
        channels = {role: channels[role] for role in self.streams or channels}
        variant = resolve_variant(self.head, self.variant)
        return dataclasses.replace(self, **{**values, "tcn_channels": channels, "variant": variant})

    def bare(self) -> FitConfig:
        """Head, recipe and streams alone, all else at its default."""
        return FitConfig(head=self.head, recipe=self.recipe, streams=self.streams)

    def reopened(self) -> FitConfig:
        """The same with what the recipe gives anyway left open, for another head or recipe."""
        bare = self.bare()
        given, names = bare.resolved(), recipe_of(self.head, self.recipe)
        same = {n: getattr(bare, n) for n in names if getattr(self, n) == getattr(given, n)}
        return dataclasses.replace(self, **same)

    def deviations(self) -> dict[str, Any]:
        """Option -> value, of those that are set otherwise than the recipe has them."""
        bare, own = self.bare().resolved(), self.resolved()
        return {
            name: getattr(own, name)
            for name in recipe_of(self.head, self.recipe)
            if getattr(own, name) != getattr(bare, name)
        }

    def describe_recipe(self) -> str:
        """Name the recipe, and what is otherwise: `recipe published, but batch = 4`."""
        changed = [
            name if isinstance(value, Mapping) else f"{name} = {value}"
            for name, value in self.deviations().items()
        ]
        return f"recipe {self.recipe}" + (f", but {', '.join(changed)}" if changed else "")

    @property
    def learned(self) -> tuple[str, ...]:
        """What is predicted, in the order of the columns."""
        return self.target_names or TARGETS

    def networks(self) -> dict[str, tuple[str, ...]]:
        """Network name -> the targets it predicts."""
        if self.resolved().targets == "joint":
            return {"joint": self.learned}
        return {target: (target,) for target in self.learned}

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
    def load(cls, path: Path | None) -> FitConfig:
        """Read a configuration as `read_options` does; None is the defaults.

        Raises:
            ConfigError: the file cannot be read, or holds what `from_json` refuses.
        """
        return cls.from_json(read_options(path) if path else {})

    def changed(self, changes: Mapping[str, Any]) -> FitConfig:
        """The same with options changed; `head_options.dropout` names an entry of a mapping.

        Another head or recipe brings its own values for what the old one had set.

        Raises:
            ConfigError: an option that does not exist, or a value that cannot work.
        """
        values = (self.reopened() if {"head", "recipe"} & set(changes) else self).to_json()
        for name, value in changes.items():
            option, dot, entry = _split_option(name)
            values[option] = {**values[option], entry: value} if dot else value
        return FitConfig.from_json(values)

    def differences(self, now: FitConfig, ignored: Collection[str] = ()) -> str:
        """What another configuration changes, as `batch: 4 then, 5 now; ...`; empty if nothing."""
        ours, theirs = self.to_json(), now.to_json()
        return "; ".join(
            f"{name}: {value!r} then, {theirs[name]!r} now"
            for name, value in ours.items()
            if name not in ignored and value != theirs[name]
        )


def read_options(path: Path) -> dict[str, Any]:
    """The options that a TOML file names, or a JSON file such as a run's config.json.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        text = path.read_text()
        return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error


@functools.cache
def option_types() -> dict[str, Any]:
    """Option of `FitConfig` -> its annotated type, or None where it can be left open so."""
    opened = {option.name for option in dataclasses.fields(FitConfig) if option.default is OPEN}
    return {n: kind | None if n in opened else kind for n, kind in types_of(FitConfig).items()}


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


def typed_option(head: str, name: str, value: Any) -> Any:
    """A value as the type of an option, or of an entry such as `head_options.dropout`.

    Raises:
        ConfigError: no such option, or a value of another type.
    """
    option, dot, entry = _split_option(name)
    if not dot:
        return conform(name, value, option_types()[option])
    if option == "head_options":
        return check_options(head, {entry: value})[entry]
    return conform(option, {entry: value}, option_types()[option])[entry]


def _split_option(name: str) -> tuple[str, str, str]:
    """`option.entry` in its parts, checked."""
    option, dot, entry = name.partition(".")
    check_option(option)
    if dot and get_origin(option_types()[option]) is not Mapping:
        raise ConfigError(f"option {option} has no entries, so {name} cannot be set")
    return option, dot, entry


def recipe_of(head: str, recipe: str) -> dict[str, Stated]:
    """Option -> what a recipe of a head has it be, and the source of that.

    Raises:
        ConfigError: no such head, or nothing is published of its training.
    """
    info = describe_head(head)
    if recipe == "published" and not set(info.published) - set(STRUCTURE):
        raise ConfigError(
            f"nothing published is known of how head {head} is trained; leave recipe at `default`"
        )
    unknown = sorted(set(info.published) - {*DEFAULTS, "recursions"})
    if unknown:
        raise ConfigError(
            f"head {head} publishes {', '.join(unknown)}, which no recipe sets; "
            f"options: {', '.join(DEFAULTS)}, recursions"
        )
    recursions = {"recursions": Stated(info.recursions, "ours")}
    taken = {
        name: stated
        for name, stated in info.published.items()
        if recipe == "published" or name in STRUCTURE
    }
    values = {**(recursions if info.recursions else {}), **DEFAULTS, **taken}
    channels = values["tcn_channels"]
    every = {**TCN_CHANNELS, **channels.value}
    return {**values, "tcn_channels": Stated(every, channels.source)}
