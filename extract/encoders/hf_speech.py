"""`hf:NAME`: any speech network of transformers that reads the waveform, from a folder of yours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...cache.durable import digest_file
from ...errors import ConfigError, WeightsError
from ..media.audio import RATE
from ..weights.checkpoints import read_state
from .pretrained import load_strictly
from .registry import register_family
from .speech import SpeechEncoder, choose_layers
from .waveform import cut_steps

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_CONFIG, _PREPROCESSOR = "config.json", "preprocessor_config.json"


@register_family("hf")
class HFSpeechEncoder(SpeechEncoder):
    """Hidden states of a transformers speech network: wav2vec 2.0, HuBERT, WavLM, data2vec.

    The package is optional; configuration and weights come from a folder as the hub has it. Sound
    is cut as for `wavlm`, features are interpolated from the middles of what they see.
    """

    def __init__(
        self,
        member: str,
        *,
        weights: str | PathLike[str] | None = None,
        layer: int | str | Sequence[int] = -1,
        chunk: float = 10.0,
        context: float = 1.5,
        precision: str = "auto",
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the weights.

        Args:
            member: the network's name on the hub, as "facebook/hubert-base-ls960".
            weights: folder with config.json, preprocessor_config.json, and model.safetensors or
                pytorch_model.bin.
            layer: hidden state after a layer from 1, or from the end as -1; several of them, or
                "mean" for all, are averaged.
            chunk: seconds that a window contributes.
            context: seconds on either side of them.
            precision: float32, bfloat16, or auto.
            device: torch device.

        Raises:
            WeightsError: no folder given, a file is not in it, or the weights do not fit.
            ConfigError: transformers is not installed, the network does not read a waveform of
                16 kHz, options out of range, or no such device.
        """
        self.name = f"hf:{member}"
        transformers = _package(self.name)
        if weights is None:
            raise WeightsError(
                f"encoder `{self.name}`: nothing is downloaded here; get the files of "
                f"huggingface.co/{member} yourself and give the option weights=FOLDER"
            )
        super().__init__(precision=precision, device=device)
        folder = Path(weights).expanduser()
        files = [_file(self.name, folder, _CONFIG), _file(self.name, folder, _PREPROCESSOR)]
        files.append(_file(self.name, folder, *_WEIGHTS))
        config = transformers.AutoConfig.from_pretrained(str(folder), local_files_only=True)
        normalise = _reads_waveform(self.name, config, json.loads(files[1].read_text()))
        hop, field = feature_steps(config.conv_stride, config.conv_kernel)
        steps = cut_steps(self.name, chunk=chunk, context=context, hop=hop, field=field)
        network = transformers.AutoModel.from_config(config)
        load_strictly(network, _rename(read_state(files[2]), network), files[2])
        layers = choose_layers(self.name, layer, config.num_hidden_layers)
        self.use(
            _HiddenStates(network.eval().requires_grad_(False), layers, normalise),
            dim=config.hidden_size,
            steps=steps,
            layers=layers,
            facts={"weights": {file.name: digest_file(file) for file in files}},
        )


class _HiddenStates(nn.Module):
    """Waveforms [b, n] to the mean of some hidden states, [b, F, D] float32."""

    def __init__(self, network: nn.Module, layers: tuple[int, ...], normalise: bool) -> None:
        super().__init__()
        self.network = network
        self._layers = layers
        self._normalise = normalise

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        if self._normalise:  # as Wav2Vec2FeatureExtractor
            variance, mean = torch.var_mean(sound, dim=1, correction=0, keepdim=True)
            sound = (sound - mean) / torch.sqrt(variance + 1e-7)
        sound = sound.to(next(self.parameters()).dtype)
        states = self.network(sound, output_hidden_states=True).hidden_states
        return torch.stack([states[layer].float() for layer in self._layers]).mean(dim=0)


def _package(encoder: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"encoder `{encoder}` needs the package transformers: "
            "`pip install 'transformers>=5,<6'`"
        ) from error
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


def _rename(state: dict[str, torch.Tensor], network: Any) -> dict[str, torch.Tensor]:
    """Names as in the network: without the prefix of a larger one and its heads."""
    prefix = f"{network.base_model_prefix}."
    if any(key.startswith(prefix) for key in state):
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        state = {
            key.replace(f".conv.{old}", f".conv.parametrizations.weight.{new}"): value
            for key, value in state.items()
        }
    if "masked_spec_embed" in network.state_dict():  # of training; some files lack it
        state.setdefault("masked_spec_embed", network.masked_spec_embed)
    return state
