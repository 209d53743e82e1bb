"""`timm:NAME`: any image network of the package timm, with a file of weights of yours."""

from __future__ import annotations

import difflib
from os import PathLike
from typing import Any

import torch

from ...errors import ConfigError, WeightsError
from ..weights.checkpoints import read_state
from .images import ImageEncoder, ImageInput, check_side
from .pretrained import load_strictly, open_file
from .registry import register_family


@register_family("timm")
class TimmEncoder(ImageEncoder):
    """Pooled features of a timm network; the package is optional, weights come from your file.

    The whole crop is scaled to the network's own input size, with its own interpolation and
    normalisation.
    """

    def __init__(
        self,
        member: str,
        *,
        weights: str | PathLike[str] | None = None,
        size: int | None = None,
        precision: str = "auto",
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the weights.

        Args:
            member: timm's name of the network, as "vit_small_patch16_224.dino".
            weights: path of its weights, safetensors or what torch.save wrote.
            size: side of the input in pixels; None for the network's own.
            precision: float32, bfloat16, or auto.
            device: torch device.

        Raises:
            WeightsError: no weights given, no such file, or they do not fit.
            ConfigError: timm is not installed or has no such network, options out of range, or no
                such device.
        """
        self.name = f"timm:{member}"
        network, facts = _build(self.name, member)
        if weights is None:
            raise WeightsError(
                f"encoder `{self.name}`: nothing is downloaded here; get its weights yourself"
                f"{_published(facts)} and give the option weights=FILE"
            )
        super().__init__(precision=precision, device=device)
        file = open_file(weights, architecture=self.name, encoder=self.name)
        load_strictly(network, _features(read_state(file.path), facts), file.path)
        side = facts["input_size"][-1] if size is None else size
        check_side(self.name, "size", side, low=16)
        network.eval().requires_grad_(False)
        given = ImageInput(
            side,
            mean=tuple(facts["mean"]),
            std=tuple(facts["std"]),
            filter="bicubic" if facts["interpolation"] == "bicubic" else "bilinear",
        )
        dim = self._measure(network, side)
        # Not folded: many of them have a forward that depends on shapes.
        self.use(network, file, dim=dim, given=given, foldable=False)

    def _measure(self, network: Any, side: int) -> int:
        """Length of what the network gives for one image."""
        try:
            return int(network(torch.zeros(1, 3, side, side)).shape[1])
        except (AssertionError, RuntimeError) as error:
            raise ConfigError(
                f"encoder `{self.name}`: the network does not take images of {side} pixels "
                f"({error}); leave out the option size"
            ) from error


def _build(encoder: str, member: str) -> tuple[Any, dict[str, Any]]:
    """The network without its classifier, and what timm knows of it."""
    try:
        import timm
    except ImportError as error:
        raise ConfigError(
            f"encoder `{encoder}` needs the package timm: `pip install 'timm>=1,<2'`"
        ) from error
    architecture = member.partition(".")[0]
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise ConfigError(
            f"encoder `{encoder}`: timm {timm.__version__} has no network `{architecture}`{hint}"
        )
    network = timm.create_model(architecture, pretrained=False, num_classes=0)
    known = timm.get_pretrained_cfg(member)
    facts = dict(known.to_dict() if known is not None else network.pretrained_cfg)
    return network, {**facts, **timm.data.resolve_data_config(pretrained_cfg=facts)}


def _published(facts: dict[str, Any]) -> str:
    """Where a network's weights are published, where timm knows it."""
    if facts.get("hf_hub_id"):
        return f" (model.safetensors of huggingface.co/{facts['hf_hub_id']})"
    return f" ({facts['url']})" if facts.get("url") else ""


def _features(state: dict[str, torch.Tensor], facts: dict[str, Any]) -> dict[str, torch.Tensor]:
    """A state without the classifier."""
    heads = facts.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    prefixes = tuple(f"{head}." for head in heads)
    return {key: value for key, value in state.items() if not key.startswith(prefixes)}
