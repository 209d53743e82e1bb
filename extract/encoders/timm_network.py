"""`timm:NAME`: any image network of the package timm, with a file of weights of yours."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError, MissingPackageError, WeightsError
from ..weights.table import WeightFile
from .base import Encoder, EncoderOptions, check_precision
from .image_input import ImageInput, check_side
from .pretrained import open_file
from .registry import register_family

if TYPE_CHECKING:
    import torch


@register_family("timm")
@dataclass(frozen=True, kw_only=True)
class TimmOptions(EncoderOptions):
    """Pooled features of a timm network; the package is optional, weights come from your file.

    The whole crop is scaled to the network's own input size, with its own interpolation and
    normalisation.

    Attributes:
        member: timm's name of the network, as "vit_small_patch16_224.dino".
        weights: path of its weights, safetensors or what torch.save wrote.
        size: side of the input in pixels; None for the network's own.
        precision: float32, bfloat16, or auto.
    """

    modality = "visual"
    member: str
    weights: str | PathLike[str] | None = None
    size: int | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse a network that timm has not, and options out of range."""
        timm = _package(self.name)
        architecture = self.member.partition(".")[0]
        if not timm.is_model(architecture):
            near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise ConfigError(
                f"encoder `{self.name}`: timm {timm.__version__} has no network `{architecture}`"
                f"{hint}"
            )
        if self.weights is None:
            raise WeightsError(
                f"encoder `{self.name}`: nothing is downloaded here; get its weights yourself"
                f"{_published(_known(timm, self.member))} and give the option weights=FILE"
            )
        check_precision(self.name, self.precision)
        if self.size is not None:
            check_side(self.name, "size", self.size, low=16)

    def weights_files(self) -> dict[str, WeightFile]:
        """The file of weights."""
        file = open_file(self.weights or "", architecture=self.name, encoder=self.name)
        return {"weights": file}

    def load(self, device: str) -> Encoder:
        """Load the network."""
        from ..weights.checkpoints import load_strictly, read_state
        from .images import ImageEncoder

        timm = _package(self.name)
        file = self.weights_files()["weights"]
        network = timm.create_model(self.member.partition(".")[0], pretrained=False, num_classes=0)
        facts = _known(timm, self.member) or dict(network.pretrained_cfg)
        load_strictly(network, _features(read_state(file.path), facts), file.path)
        seen = timm.data.resolve_data_config(pretrained_cfg=facts)
        side = seen["input_size"][-1] if self.size is None else self.size
        network.eval().requires_grad_(False)
        return ImageEncoder(
            network,
            name=self.name,
            dim=_measure(self.name, network, side),
            given=ImageInput(
                side,
                mean=tuple(seen["mean"]),
                std=tuple(seen["std"]),
                filter="bicubic" if seen["interpolation"] == "bicubic" else "bilinear",
            ),
            precision=self.precision,
            device=device,
            foldable=False,  # many of them have a forward that depends on shapes
        )


def _package(encoder: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingPackageError(f"encoder `{encoder}`", error, "timm") from error
    return timm


def _known(timm: Any, member: str) -> dict[str, Any]:
    """What timm knows of a network's published weights."""
    known = timm.get_pretrained_cfg(member)
    return {} if known is None else dict(known.to_dict())


def _published(facts: dict[str, Any]) -> str:
    """Where a network's weights are published, where timm knows it."""
    if facts.get("hf_hub_id"):
        return f" (model.safetensors of huggingface.co/{facts['hf_hub_id']})"
    return f" ({facts['url']})" if facts.get("url") else ""


def _measure(encoder: str, network: Any, side: int) -> int:
    """Length of what the network gives for one image."""
    import torch

    try:
        return int(network(torch.zeros(1, 3, side, side)).shape[1])
    except (AssertionError, RuntimeError) as error:
        raise ConfigError(
            f"encoder `{encoder}`: the network does not take images of {side} pixels "
            f"({error}); leave out the option size"
        ) from error


def _features(state: dict[str, torch.Tensor], facts: dict[str, Any]) -> dict[str, torch.Tensor]:
    """A state without the classifier."""
    heads = facts.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    prefixes = tuple(f"{head}." for head in heads)
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}
