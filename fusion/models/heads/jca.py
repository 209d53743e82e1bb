"""JCA: joint cross-attention without recursion."""

from __future__ import annotations

from collections.abc import Mapping

from .registry import register_head
from .rjca import RJCA


@register_head("jca")
class JCA(RJCA):
    """Joint cross-attention: RJCA with one recursion.

        x_m'      = attention(x)_m
        out       = [x_video', x_audio', ...]

    Variants and options as in `rjca`.
    """

    source = (
        "Praveen et al., A joint cross-attention model for audio-visual fusion in dimensional "
        "emotion recognition (CVPRW 2022); released code"
    )

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        length: int | None = None,
        variant: str = "official",
        dropout: float = 0.6,
        tanh: str = "value",
        mixing: str = "frames",
        normalize: bool = False,
    ) -> None:
        super().__init__(
            dims=dims,
            length=length,
            variant=variant,
            recursions=1,
            dropout=dropout,
            tanh=tanh,
            mixing=mixing,
            normalize=normalize,
        )
