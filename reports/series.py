"""Series of frames as small blocks that the page decodes when a video is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..fusion.evaluation.gates import ATTENTION, GateGroup, Gates
from .page import pack_array

GAP = -32768  # in int16 series: no value
GATE_STEPS = 100  # a gate is drawn some 90 pixels high
_STEPS = 32767
_JITTER = 1e-4  # seconds by which times may differ from a constant rate to be stored as one


def pack_values(values: np.ndarray) -> tuple[str, float]:
    """Pack values [T, C], NaN where there is none.

    Returns:
        The block, differences of int16 [C, T] with `GAP` for NaN, and what one step is worth: at
        most 3.1e-5 for values in [-1, 1].
    """
    finite = np.isfinite(values)
    exact = np.where(finite, values, 0).astype(np.float64)
    step = max(1.0, float(np.abs(exact).max())) / _STEPS
    whole = np.where(finite, np.rint(exact / step), GAP)
    return _pack_steps(whole.T.astype(np.int16)), step


def pack_times(pts: np.ndarray) -> tuple[str | None, dict[str, float]]:
    """Pack times [T] in seconds: as start and step where the rate is constant, else a block."""
    step = float(pts[-1] - pts[0]) / (len(pts) - 1) if len(pts) > 1 else 0.0
    facts = {"start": float(pts[0]), "step": step}
    if np.abs(pts - (pts[0] + step * np.arange(len(pts)))).max() <= _JITTER:
        return None, facts
    return pack_array(pts.astype(np.float64)), facts


def pack_gates(values: np.ndarray) -> tuple[str, list[float], list[float]]:
    """Pack gates [T, C] column by column, each in hundredths of its own range.

    Returns:
        The block, differences of uint8 [C, T], and the least and greatest value of each column.
    """
    exact = values.astype(np.float64)
    low, high = exact.min(axis=0), exact.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    whole = np.rint((exact - low) / spread * GATE_STEPS).astype(np.uint8)
    return _pack_steps(whole.T), low.tolist(), high.tolist()


def _pack_steps(whole: np.ndarray) -> str:
    """Pack whole numbers [C, T] as differences along time, which are small and so deflate well.

    They wrap around, and so do the sums that undo them.
    """
    return pack_array(np.diff(whole, axis=1, prepend=whole.dtype.type(0)))


def describe_gates(gates: Gates, head: str, variant: str, roles: Sequence[str]) -> list[dict]:
    """For each gate: its network, its name, whether it is attention, and what its columns weigh."""
    return [
        {
            "network": group.network,
            "gate": group.gate,
            "attention": group.gate.endswith(ATTENTION),
            "columns": _columns(group, head, variant, roles),
        }
        for group in gates.groups
    ]


def _columns(group: GateGroup, head: str, variant: str, roles: Sequence[str]) -> list[str]:
    """Names of the columns of a gate, as the docstring of the head defines them."""
    steps = ["unattended", *(f"recursion {t}" for t in range(1, group.size + 1))]
    stage = group.gate.rpartition("_stage")[2]
    if head in ("grjca", "tagf"):
        return steps[: group.size]
    if head == "dca":
        return ["unattended", "attended"]
    if head == "hgrjca" and stage != group.gate:
        first = 0 if variant == "official" else int(stage) - 1
        return ["unattended", *(f"recursion {t}" for t in range(1, int(stage) + 1))][first:]
    if head == "hgrjca":
        return [f"stage {t}" for t in range(1, group.size + 1)]
    if head == "lfan":
        return [f"{role}, head {h + 1}" for h in range(group.shape[0]) for role in roles]
    if group.shape == ():
        return [group.gate]
    return [str(index) for index in range(group.size)]


def describe_metrics(metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Learning curves: for each network its epochs, losses, CCCs and the epoch that was kept.

    Runs of earlier versions have no validation loss: None.
    """
    networks: dict[str, list[Mapping[str, Any]]] = {}
    for record in metrics:
        networks.setdefault(record["network"], []).append(record)
    return [
        {
            "network": name,
            "epoch": [record["epoch"] for record in records],
            "loss": [record["loss"] for record in records],
            "validationLoss": [record.get("validation_loss") for record in records],
            "ccc": [record["ccc"]["mean"] for record in records],
            "best": max((r["epoch"] for r in records if r.get("best")), default=None),
        }
        for name, records in networks.items()
    ]
