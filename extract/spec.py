"""What a stream is, without its network: a specification whose digest is the stream's key.

Planning, comparing a run with a cache, and making a stream again for new videos work on these
alone. What of which file was read stands beside each item (`cache.source.Source`), not here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from ..cache.durable import canonical_json
from ..cache.layout import DTYPES
from ..device import fast_precision
from ..errors import ConfigError, WeightsError, some
from ..plugins import plugin_digest
from .encoders import Encoder, EncoderOptions, encoder_options
from .encoders.base import COMPUTED
from .encoders.registry import option_names, options_module
from .faces.crop_config import DETECTOR_WEIGHTS, CropConfig
from .options import StreamConfig, frozen
from .views import WHOLE
from .weights.bundled_weights import facenet_weights
from .weights.files import all_entries, all_with_weights, find_weights, present_names

# Part of every key; raised when stored values change without any option changing:
# 2: sound whose channels have no names is mixed with equal weights.
# 3: the key is the digest of an `EncoderSpec`, not of what a loaded network says of itself.
# 4: rows are the pictures that are shown, mirrored ones too; sound is mixed by one table.
# 5: crops are cut from the planes of full-size pictures; HD videos that tell no colours are BT.709.
SCHEMA = 5


@dataclass(frozen=True)
class Weights:
    """A file of weights in a specification.

    Attributes:
        option: the encoder's option that names it, or the file's name where none does.
        name: as `vapipe weights list` shows it, or the name of a file given by its path.
        sha256: of the file; it counts, the name does not.
        path: where it lies on this machine; not part of the specification.
    """

    option: str
    name: str
    sha256: str
    path: Path | None = dataclasses.field(default=None, compare=False)


@dataclass(frozen=True)
class EncoderSpec:
    """Everything that determines a stream's values, but for what of a video is read.

    Attributes:
        stream: its name; not part of the key.
        encoder: registered name of the encoder.
        modality: "visual" or "audio".
        options: the encoder's (option, value) pairs, all of them.
        weights: the files of weights.
        precision: of computing, "float32", "bfloat16" or "float16"; never "auto".
        dtype: stored precision.
        view: which view of the crops is seen.
        crops: how faces are found and cropped; None for sound.
        detector: (file, SHA-256) of the face detector's weights, and (precision, float32) in
            which it computes, where faces are found.
        plugin: SHA-256 of the plug-in file that the encoder is from.
        schema: see `SCHEMA`.
    """

    stream: str
    encoder: str
    modality: str
    options: tuple[tuple[str, Any], ...] = ()
    weights: tuple[Weights, ...] = ()
    precision: str = "float32"
    dtype: str = "float16"
    view: str = WHOLE.name
    crops: CropConfig | None = None
    detector: tuple[tuple[str, str], ...] = ()
    plugin: str | None = None
    schema: int = SCHEMA

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON values, as shards and runs keep it."""
        return {
            "schema": self.schema,
            "encoder": self.encoder,
            "modality": self.modality,
            "options": _plain(dict(self.options)),
            "weights": {w.option: {"name": w.name, "sha256": w.sha256} for w in self.weights},
            "precision": self.precision,
            "dtype": self.dtype,
            "view": self.view,
            "crops": self.crops and crop_facts(self.crops, self.detector),
            "plugin": self.plugin,
        }

    @classmethod
    def from_json(cls, stream: str, facts: Mapping[str, Any]) -> EncoderSpec:
        """From what a shard or a run keeps.

        Raises:
            ConfigError: the features were imported, or extracted by another version of vapipe.
        """
        if "encoder" not in facts or "schema" not in facts:
            raise ConfigError(
                f"stream {stream} was not extracted by vapipe (imported features), so it cannot "
                "be made for new videos; import it for them, too, and predict from the cache"
            )
        if facts["schema"] != SCHEMA:
            raise ConfigError(
                f"stream {stream} was extracted by another version of vapipe (schema "
                f"{facts['schema']}, this one makes {SCHEMA}): extract and fit again, or use that "
                "version"
            )
        crops = facts["crops"]
        return cls(
            stream=stream,
            encoder=facts["encoder"],
            modality=facts["modality"],
            options=_pairs(facts["options"]),
            weights=tuple(
                Weights(option, each["name"], each["sha256"])
                for option, each in sorted(facts["weights"].items())
            ),
            precision=facts["precision"],
            dtype=facts["dtype"],
            view=facts["view"],
            crops=crops and CropConfig.from_json(crops),
            detector=tuple(sorted(crops["detector"].items())) if crops else (),
            plugin=facts["plugin"],
        )

    def identity(self) -> dict[str, Any]:
        """The specification without names: what the key is the digest of."""
        return {**self.to_json(), "weights": {w.option: w.sha256 for w in self.weights}}

    @property
    def finds_faces(self) -> bool:
        """Whether the boxes of faces are stored beside the features."""
        return self.crops is not None and self.crops.finds_faces

    def key(self) -> str:
        """SHA-256 (hex) of the identity."""
        return hashlib.sha256(canonical_json(self.identity())).hexdigest()

    def load(self, device: str) -> Encoder:
        """Load the network, which must be the one specified.

        Raises:
            ConfigError: no such encoder here, or it would give other values; says what differs.
            WeightsError: the weights are not here; says how to get them.
        """
        self.check_here()
        return self.encoder_options().load(device)

    def check_here(self) -> None:
        """Refuse to make a stream that would get other values here; loads no network.

        Raises:
            ConfigError, WeightsError: as `load`.
        """
        options = self.encoder_options()
        here = _specify(self.stream, self.encoder, options, self.precision, self)
        if here.key() != self.key():
            raise ConfigError(
                f"stream {self.stream} would get other values on {socket.gethostname()} than "
                f"specified: {differences(self, here)}. Have the same files "
                "and the same vapipe there, describe the stream in a file for --config, or "
                "extract again with what is there now"
            )

    def encoder_options(self) -> EncoderOptions:
        """What the network is loaded with on this machine."""
        options, names = dict(self.options), option_names(self.encoder)
        if "precision" in names:
            options["precision"] = self.precision
        for weights in self.weights:
            option, _, part = weights.option.partition("/")
            if option in names:
                path = self._locate(weights)
                options[option] = str(path.parent if part else path)
        return encoder_options(self.encoder, options)

    def _locate(self, weights: Weights) -> Path:
        """Where the weights lie here; of the same file under several names, any."""
        if weights.path is not None and weights.path.is_file():
            return weights.path
        present = [name for name in present_names() if _is(weights, name)]
        if present:
            return find_weights(present[0]).path
        for entry in all_entries().values():
            if entry.sha256 and weights.sha256.startswith(entry.sha256):
                return find_weights(entry.name).path  # says how to get them
        raise ConfigError(
            f"stream {self.stream} was made with weights {weights.name} of SHA-256 "
            f"{weights.sha256}, which have no name here. Add the file (`vapipe weights add NAME "
            "FILE --architecture NETWORK`), or describe the stream with its weights under "
            f"[streams.{self.stream}] of a file for --config (docs/streams.md)"
        )


def crop_facts(
    crops: CropConfig, detector: Sequence[tuple[str, str]] | None = None
) -> dict[str, Any]:
    """What determines crops as plain JSON values; by default with this machine's detector."""
    found = _detector(crops) if detector is None else detector
    return _plain({**crops.relevant(), "detector": dict(found)})


def _detector(crops: CropConfig | None) -> tuple[tuple[str, str], ...]:
    """Names and digests of the weights that find faces, and the precision, where they are found."""
    if crops is None or not crops.finds_faces:
        return ()
    weights = {name: facenet_weights(name).sha256 for name in DETECTOR_WEIGHTS}
    return tuple(sorted({**weights, "precision": "float32"}.items()))


def make_specs(
    configs: Sequence[StreamConfig],
    crops: CropConfig,
    *,
    device: str = "cpu",
    precision: str = "auto",
    recorded: Callable[[], Sequence[EncoderSpec]] = tuple,
) -> tuple[EncoderSpec, ...]:
    """The specifications of streams that are asked for; loads no network.

    Args:
        crops: how faces are found and cropped.
        device: "cpu", "cuda" or "cuda:N".
        precision: of computing, for streams that name none. "auto" is what is recorded of the
            stream, else what the device does fast.
        recorded: gives streams that were extracted before.

    Raises:
        ConfigError: unknown encoder, option or precision, or a view of an audio stream.
        WeightsError: the weights are missing or wrong.
    """
    specs = []
    for spec in all_with_weights(partial(_resolve, config, crops) for config in configs):
        if spec.precision == "auto":
            chosen = _recorded(spec, recorded()) or fast_precision(device)
            spec = dataclasses.replace(spec, precision=chosen if precision == "auto" else precision)
        specs.append(spec)
    return tuple(specs)


def _recorded(spec: EncoderSpec, recorded: Sequence[EncoderSpec]) -> str | None:
    """The precision that a stream was extracted with before."""
    keys = {other.key(): other.precision for other in recorded}
    made = (dataclasses.replace(spec, precision=each) for each in COMPUTED)
    return next((keys[each.key()] for each in made if each.key() in keys), None)


def _resolve(config: StreamConfig, crops: CropConfig) -> EncoderSpec:
    if config.dtype not in DTYPES:
        raise ConfigError(
            f"stream `{config.name}`: dtype `{config.dtype}` is none of {', '.join(DTYPES)}"
        )
    options = encoder_options(config.encoder, dict(config.options))
    if options.modality == "audio" and config.view != WHOLE:
        raise ConfigError(
            f"stream `{config.name}`: views are of pictures; {config.encoder} hears sound"
        )
    visual = options.modality == "visual"
    frame = EncoderSpec(
        config.name,
        config.encoder,
        options.modality,
        dtype=config.dtype,
        view=config.view.name,
        crops=CropConfig(**crops.relevant()) if visual else None,
    )
    precision = getattr(options, "precision", "float32")
    return _specify(config.name, config.encoder, options, precision, frame)


def _specify(
    stream: str, encoder: str, options: EncoderOptions, precision: str, frame: EncoderSpec
) -> EncoderSpec:
    """A specification with the digests of this machine; the rest is taken from `frame`."""
    files = sorted(options.weights_files().items())
    return EncoderSpec(
        stream=stream,
        encoder=encoder,
        modality=options.modality,
        options=_pairs(options.describe()),
        weights=tuple(Weights(option, f.name, f.sha256, f.path) for option, f in files),
        precision=precision,
        dtype=frame.dtype,
        view=frame.view,
        crops=frame.crops,
        detector=_detector(frame.crops),
        plugin=plugin_digest(options_module(encoder)),
    )


def find_duplicate_streams(specs: Sequence[EncoderSpec]) -> list[tuple[str, str]]:
    """Pairs of streams that are the same network on the same input.

    Precisions and the length of the pieces that long sound is cut into do not count: their values
    differ by little, and a second stream of them brings nothing new.
    """

    def what(spec: EncoderSpec) -> EncoderSpec:
        options = tuple(pair for pair in spec.options if pair[0] not in ("chunk", "context"))
        files = tuple(dataclasses.replace(weights, name="") for weights in spec.weights)
        return dataclasses.replace(
            spec, stream="", options=options, precision="", dtype="", weights=files
        )

    return [
        (other.stream, spec.stream)
        for number, spec in enumerate(specs)
        for other in specs[:number]
        if what(spec) == what(other)
    ]


def differences(old: EncoderSpec, new: EncoderSpec) -> str:
    """What of two specifications' identities differs, in words."""
    was, now = dict(_leaves(old.identity())), dict(_leaves(new.identity()))
    odd = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    return some([f"{n} is {now.get(n)}, was {was.get(n)}" for n in odd], 6)


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values under dotted names."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else key)
    else:
        yield name, value


def _is(weights: Weights, name: str) -> bool:
    """Whether the file of a name is these weights; a wrong file is not."""
    try:
        return find_weights(name).sha256 == weights.sha256
    except WeightsError:
        return False


def _pairs(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((name, frozen(value)) for name, value in sorted(options.items()))


def _plain(value: Any) -> Any:
    """As JSON has it: lists for tuples, strings for paths."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, PathLike) else value
