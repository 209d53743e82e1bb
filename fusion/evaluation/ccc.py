"""The concordance correlation coefficient (Lin 1989): the measure in float64, and a loss."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError

Series: TypeAlias = np.ndarray | Tensor

# Far above what rounding leaves of the variance of a constant float32 window (about 1e-15), far
# below the variance of any annotated one: the smallest step of the annotation is 1e-3.
LOSS_EPSILON = 1e-8


def _float64(values: Series) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=np.float64)


def valid_pairs(
    measure: str, prediction: Series, target: Series, mask: Series | None
) -> tuple[np.ndarray, np.ndarray]:
    """The valid values of both series in float64, [N] each.

    Raises:
        ConfigError: shapes differ, no value is valid, or a valid value is not finite; the message
            begins with `measure`.
    """
    p, t = _float64(prediction), _float64(target)
    if p.shape != t.shape:
        raise ConfigError(f"{measure}: prediction {p.shape} and target {t.shape} differ in shape")
    if mask is None:
        p, t = p.ravel(), t.ravel()
    else:
        m = mask.detach().cpu().numpy() if isinstance(mask, Tensor) else np.asarray(mask)
        if m.shape != p.shape or m.dtype != bool:
            raise ConfigError(
                f"{measure}: the mask must be bool {p.shape}, got {m.dtype} {m.shape}"
            )
        p, t = p[m], t[m]
    if not p.size:
        raise ConfigError(
            f"{measure}: no valid value; {measure.upper()} is undefined without annotated frames"
        )
    bad = int((~np.isfinite(p) | ~np.isfinite(t)).sum())
    if bad:
        raise ConfigError(
            f"{measure}: {bad} of {p.size} valid values are not finite; mask them out"
        )
    return p, t


def ccc(prediction: Series, target: Series, mask: Series | None = None) -> float:
    """Concordance of two series over their valid values, concatenated.

    2 cov / (var + var + (mean difference)^2) with population (ddof 0) moments in float64
    (Lin 1989, the measure of the Aff-Wild2 challenge).

    Args:
        target: same shape.
        mask: same shape, bool; values where it is False are ignored and may be NaN.

    Returns:
        A value in [-1, 1]. It is 0.0 when either series is constant (so also for a single value):
        a constant shows no concordance, even where it hits a constant target exactly.

    Raises:
        ConfigError: shapes differ, no value is valid, or a valid value is not finite.
    """
    p, t = valid_pairs("ccc", prediction, target, mask)
    if p.min() == p.max() or t.min() == t.max():
        return 0.0
    p_mean, t_mean = p.mean(), t.mean()
    covariance = ((p - p_mean) * (t - t_mean)).mean()
    return float(2 * covariance / (p.var() + t.var() + (p_mean - t_mean) ** 2))


def ccc_loss(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, ddof: int = 0
) -> Tensor:
    """1 - CCC per window, averaged over the windows that have a valid frame; scalar tensor.

    Moments are taken in float32 at least. A window with a constant target, or one valid frame,
    costs 1. Without any valid frame the loss is 0, with zero gradients.

    Args:
        prediction: [B, L]; may be anything, NaN included, where the mask is False.
        target: [B, L]; the same.
        mask: [B, L] bool, True where a frame counts; None means every frame.
        ddof: 0 for population moments, as in the measure; 1 for those of the released loss, whose
            variances divide by n - 1 while its covariance divides by n.

    Raises:
        ConfigError: the shapes differ.
    """
    if mask is None:
        mask = torch.ones_like(prediction, dtype=torch.bool)
    if not (prediction.ndim == 2 and prediction.shape == target.shape == mask.shape):
        raise ConfigError(
            f"ccc_loss needs prediction, target and mask of one shape [B, L]; got "
            f"{tuple(prediction.shape)}, {tuple(target.shape)}, {tuple(mask.shape)}"
        )
    dtype = torch.promote_types(prediction.dtype, torch.float32)
    p = prediction.to(dtype).masked_fill(~mask, 0)
    t = target.to(dtype).masked_fill(~mask, 0)
    frames = mask.sum(1).clamp(min=1)
    p_mean, t_mean = p.sum(1) / frames, t.sum(1) / frames
    p_dev = (p - p_mean[:, None]).masked_fill(~mask, 0)
    t_dev = (t - t_mean[:, None]).masked_fill(~mask, 0)
    covariance = (p_dev * t_dev).sum(1) / frames
    spread = (p_dev.square() + t_dev.square()).sum(1) / (frames - ddof).clamp(min=1)
    concordance = 2 * covariance / (spread + (p_mean - t_mean).square() + LOSS_EPSILON)
    counted = mask.any(1)
    return ((1 - concordance) * counted).sum() / counted.sum().clamp(min=1)
