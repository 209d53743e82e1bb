"""torchaudio's WavLM made ready for extraction: same values, convolutions with channels last."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional


class WavLMLayers(nn.Module):
    """Outputs of transformer layers, averaged or side by side (Chen et al. 2022).

    As `extract_features` of torchaudio's model, of which only the layers needed are computed.
    """

    def __init__(
        self, model: Any, *, layers: tuple[int, ...], stack: bool, normalise: bool
    ) -> None:
        """Take the parts of a torchaudio WavLM model.

        Args:
            model: evaluating, without gradients.
            layers: which outputs, from 1.
            stack: whether they are put side by side, in order; else their mean is taken.
            normalise: whether each waveform is brought to mean 0 and variance 1 first.
        """
        super().__init__()
        position = model.encoder.transformer.pos_conv_embed.conv
        torch.nn.utils.parametrize.remove_parametrizations(position, "weight")
        self.convolutions = nn.ModuleList(
            _Convolution(block) for block in model.feature_extractor.conv_layers
        )
        self.encoder = model.encoder
        self._layers = layers
        self._stack = stack
        self._normalise = normalise

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """[b, n] float32 of any scale to [b, F, D], or [b, F, layers * D]."""
        if self._normalise:
            waveforms = functional.layer_norm(waveforms, waveforms.shape[-1:])
        x = waveforms[:, None, None].to(next(self.parameters()).dtype)  # [b, 1, 1, n]
        for convolution in self.convolutions:
            x = convolution(x)  # [b, 512, 1, L]
        x = x.squeeze(2).transpose(1, 2)  # [b, F, 512], contiguous
        outputs = self.encoder.extract_features(x, num_layers=max(self._layers))
        chosen = [outputs[layer - 1].float() for layer in self._layers]
        return join_layers(chosen, stack=self._stack)


def join_layers(outputs: list[torch.Tensor], *, stack: bool) -> torch.Tensor:
    """Outputs [b, F, D] of layers side by side, [b, F, layers * D], or their mean [b, F, D]."""
    if len(outputs) == 1:
        return outputs[0]
    return torch.cat(outputs, dim=-1) if stack else torch.stack(outputs).mean(dim=0)


class _Convolution(nn.Module):
    """A block of the feature extractor on [b, C, 1, L] with channels last.

    On CPUs the bfloat16 convolution is four times as fast as the one on [b, C, L].
    """

    def __init__(self, block: Any) -> None:
        super().__init__()
        weight = block.conv.weight[:, :, None]  # [C_out, C_in, 1, k]
        self.weight = nn.Parameter(
            weight.contiguous(memory_format=torch.channels_last), requires_grad=False
        )
        self.bias = block.conv.bias
        self.norm: Any = block.layer_norm
        self._stride = int(block.conv.stride[0])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] == 1:  # of one channel oneDNN makes channels first
            frames = x.unfold(3, self.weight.shape[3], self._stride).squeeze(1)  # [b, 1, L, k]
            x = functional.linear(frames, self.weight[:, 0, 0], self.bias).permute(0, 3, 1, 2)
        else:
            x = functional.conv2d(x, self.weight, self.bias, stride=(1, self._stride))
        if isinstance(self.norm, nn.GroupNorm):  # of each channel over time
            x = self.norm(x)
        elif self.norm is not None:  # of each time over channels
            x = functional.layer_norm(
                x.permute(0, 2, 3, 1), self.norm.normalized_shape, self.norm.weight, self.norm.bias
            ).permute(0, 3, 1, 2)
        return functional.gelu(x)
