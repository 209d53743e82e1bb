"""The input of VGGish: log-mel patches that begin at any sample (Hershey et al. 2017, AudioSet)."""

from __future__ import annotations

import numpy as np
import torch

from ..media.audio import RATE

WINDOW = 400  # samples of a spectrum, 25 ms
HOP = 160  # samples between spectra, 10 ms
SPECTRA = 96  # of a patch
BANDS = 64
LENGTH = (SPECTRA - 1) * HOP + WINDOW  # samples that a patch hears, 0.975 s
_N_FFT = 512
_LOWEST, _HIGHEST = 125.0, 7500.0  # hertz
_OFFSET = 0.01  # added before the logarithm


class VGGishPatches:
    """ln(mel magnitude + 0.01) of 96 spectra every 10 ms, from the very sample asked for.

    Spectra that patches share are computed once: at 25 frames per second nearly all of them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._window = torch.hann_window(WINDOW, periodic=True, device=device)
        self._filters = torch.from_numpy(mel_filters()).float().to(device)

    def __call__(self, samples: np.ndarray, starts: np.ndarray) -> torch.Tensor:
        """Patches on the device.

        Args:
            samples: [N] float32, full scale 1.
            starts: [n] index of the first sample of each patch; it ends at most at N.

        Returns:
            [n, 96, 64] float32: spectra, bands from low to high.
        """
        wanted = starts[:, None] + HOP * np.arange(SPECTRA)  # [n, 96]
        places, shared = np.unique(wanted, return_inverse=True)
        windows = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[places]  # [u, 400]
        frames = torch.from_numpy(windows).to(self._device) * self._window
        spectra = torch.fft.rfft(frames, n=_N_FFT)  # [u, 257]
        magnitude = (spectra.real.square() + spectra.imag.square()).sqrt()  # 4 x as fast as abs
        logarithm = torch.log(magnitude @ self._filters + _OFFSET)  # [u, 64]
        return logarithm[torch.from_numpy(shared.reshape(wanted.shape)).to(self._device)]


def mel_filters() -> np.ndarray:
    """AudioSet's mel filters, [257, 64] float64: triangles over mel = 1127 ln(1 + f / 700).

    Their sides are straight in mel, not in hertz as elsewhere; the bin at 0 Hz counts nowhere.
    """
    bins = _mel(np.linspace(0.0, RATE / 2, _N_FFT // 2 + 1))[:, None]
    edges = np.linspace(_mel(np.array(_LOWEST)), _mel(np.array(_HIGHEST)), BANDS + 2)
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    filters[0] = 0.0
    return filters


def _mel(hertz: np.ndarray) -> np.ndarray:
    return 1127.0 * np.log1p(hertz / 700.0)
