"""`hf:NAME`: any speech network of transformers that reads the waveform, from a folder of yours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ...cache.durable import digest_file
from ...errors import ConfigError, MissingPackageError, WeightsError
from ..media import RATE
from ..weights.table import WeightFile
from .base import Encoder
from .registry import register_family
from .waveform import SpeechOptions, choose_layers

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"


@register_family("hf")
@dataclass(frozen=True, kw_only=True)
class HFSpeechOptions(SpeechOptions):
    """Hidden states of a transformers speech network: wav2vec 2.0, HuBERT, WavLM, data2vec.

    The package is optional; configuration and weights come from a folder as the hub has it. Sound
    is cut as for `wavlm`, features are interpolated from the middles of what they see.

    Attributes:
        member: the network's name on the hub, as "facebook/hubert-base-ls960".
        weights: folder with config.json, preprocessor_config.json, and model.safetensors or
            pytorch_model.bin.
    """

    member: str
    weights: str | PathLike[str] | None = None

    def __post_init__(self) -> None:
        """Refuse options out of range, and a network that does not read the waveform."""
        super().__post_init__()
        _package(self.name)
        if self.weights is None:
            raise WeightsError(
                f"encoder `{self.name}`: nothing is downloaded here; get the files of "
                f"huggingface.co/{self.member} yourself and give the option weights=FOLDER"
            )
        config, *_ = self._files()
        if self.stack:  # a fit wants to know how many there are
            depth = json.loads(config.read_text()).get("num_hidden_layers", 0)
            object.__setattr__(self, "layer", choose_layers(self.name, self.layer, depth))
        elif self.layer == "all":
            object.__setattr__(self, "layer", "mean")

    @property
    def _folder(self) -> Path:
        return Path(self.weights or "").expanduser()

    def _files(self) -> list[Path]:
        wanted: tuple[tuple[str, ...], ...] = ((_CONFIG,), (_PREPROCESSOR,), _WEIGHTS)
        return [_file(self.name, self._folder, *names) for names in wanted]

    def weights_files(self) -> dict[str, WeightFile]:
        """The three files of the folder: they decide the values together."""
        return {
            f"weights/{path.name}": WeightFile(
                path.name, self.name, path, digest_file(path), path.stat().st_size
            )
            for path in self._files()
        }

    def load(self, device: str) -> Encoder:
        """Load the network."""
        from .hf_speech_network import HiddenStates, load_hf_network
        from .speech import SpeechEncoder

        transformers = _package(self.name)
        config = transformers.AutoConfig.from_pretrained(
            str(self._folder), local_files_only=True, trust_remote_code=False
        )
        preprocessor = json.loads((self._folder / _PREPROCESSOR).read_text())
        normalise = _reads_waveform(self.name, config, preprocessor)
        layers = choose_layers(self.name, self.layer, config.num_hidden_layers)
        hop, field = feature_steps(config.conv_stride, config.conv_kernel)
        network = load_hf_network(config, self._files()[-1])
        return SpeechEncoder(
            HiddenStates(network, layers, stack=self.stack, normalise=normalise),
            name=self.name,
            dim=config.hidden_size * (len(layers) if self.stack else 1),
            steps=self.steps(hop=hop, field=field),
            precision=self.precision,
            device=device,
        )


def _package(encoder: str) -> Any:
    """transformers, whose import takes no second: it imports its parts on demand."""
    try:
        import transformers
    except ImportError as error:
        raise MissingPackageError(f"encoder `{encoder}`", error, "hf") from error
    return transformers


def _file(encoder: str, folder: Path, *names: str) -> Path:
    """The first of the names that is in the folder."""
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(
        f"encoder `{encoder}`: there is no {' or '.join(names)} in {folder}; put the network's "
        "files there as the hub has them, or correct the option `weights`"
    )


def _reads_waveform(encoder: str, config: Any, preprocessor: dict[str, Any]) -> bool:
    """Whether the sound is normalised; an error where the network takes no 16 kHz waveform."""
    if not (hasattr(config, "conv_stride") and hasattr(config, "conv_kernel")):
        raise ConfigError(
            f"encoder `{encoder}`: a network of type `{config.model_type}` does not read the "
            "waveform; use wav2vec 2.0, HuBERT, WavLM or data2vec"
        )
    rate = preprocessor.get("sampling_rate", RATE)
    if rate != RATE:
        raise ConfigError(
            f"encoder `{encoder}`: the network reads {rate} Hz, sound here has {RATE} Hz; use "
            "another network"
        )
    return bool(preprocessor.get("do_normalize", True))  # the default of transformers


def feature_steps(strides: Sequence[int], kernels: Sequence[int]) -> tuple[int, int]:
    """Samples between features, and samples that one sees."""
    field, hop = 1, 1
    for stride, kernel in zip(strides, kernels, strict=True):
        field += (kernel - 1) * hop
        hop *= stride
    return hop, field
