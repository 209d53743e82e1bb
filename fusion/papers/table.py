"""The table of a sweep: means, deviations, intervals and paired differences, in four formats."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ...errors import ConfigError
from ..config import TARGETS
from .published import NOTE, published
from .sweep import Result

_MEASURES = (*TARGETS, "mean")
STATISTICS = (
    "CCC: mean ± standard deviation over folds and seeds; interval: 95 % of the mean CCC, "
    "Student's t; difference: of the mean CCC to the baseline over the same folds and seeds, with "
    "its 95 % interval and the p of a paired t-test. Folds share training data, which these "
    "intervals ignore."
)


@dataclass(frozen=True)
class Row:
    """One head (with its options) over folds and seeds.

    Attributes:
        label: of the sweep.
        fits: number of finished fits.
        failed: number of others.
        mean: measure -> mean CCC.
        deviation: measure -> standard deviation (ddof 1); NaN for one fit.
        interval: of the mean CCC's mean; NaN for one fit.
        difference: mean paired difference to the baseline's mean CCC; NaN for the baseline.
        difference_interval: of that; NaN for one pair.
        p: of a two-sided paired t-test; NaN for one pair.
        published: (valence, arousal) of the paper, or None.
    """

    label: str
    fits: int
    failed: int
    mean: dict[str, float]
    deviation: dict[str, float]
    interval: tuple[float, float]
    difference: float
    difference_interval: tuple[float, float]
    p: float
    published: tuple[float, float] | None


def tabulate(results: Sequence[Result], baseline: str) -> list[Row]:
    """One row per label, in the order of the sweep.

    Raises:
        ConfigError: the baseline is not in the sweep.
    """
    labels = list(dict.fromkeys(result.task.label for result in results))
    if baseline not in labels:
        raise ConfigError(
            f"the baseline `{baseline}` is not in the sweep; there are: {', '.join(labels)}"
        )
    scores = {label: _scores(results, label) for label in labels}
    rows = []
    for label in labels:
        own, base = scores[label], scores[baseline]
        values = {m: np.array([ccc[m] for ccc in own.values()]) for m in _MEASURES}
        pairs = sorted(own.keys() & base.keys()) if label != baseline else []
        differences = np.array([own[pair]["mean"] - base[pair]["mean"] for pair in pairs])
        config = next(r.task.config for r in results if r.task.label == label)
        rows.append(
            Row(
                label=label,
                fits=len(own),
                failed=sum(r.task.label == label and r.ccc is None for r in results),
                mean={m: _mean(v) for m, v in values.items()},
                deviation={m: _deviation(v) for m, v in values.items()},
                interval=_interval(values["mean"]),
                difference=_mean(differences),
                difference_interval=_interval(differences),
                p=_p_value(differences),
                published=published(config.head, config.head_options.get("preset")),
            )
        )
    return rows


def _scores(results: Sequence[Result], label: str) -> dict[tuple[int, int], dict[str, float]]:
    """(fold, seed) -> CCCs of the finished fits."""
    return {
        (r.task.fold, r.task.seed): r.ccc
        for r in results
        if r.task.label == label and r.ccc is not None
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _deviation(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _interval(values: np.ndarray) -> tuple[float, float]:
    """95 % of the mean, Student's t."""
    if len(values) < 2:
        return math.nan, math.nan
    half = stats.t.ppf(0.975, len(values) - 1) * _deviation(values) / math.sqrt(len(values))
    return _mean(values) - half, _mean(values) + half


def _p_value(differences: np.ndarray) -> float:
    """Two-sided; NaN where the differences do not vary."""
    if len(differences) < 2 or not differences.std():
        return math.nan
    t = _mean(differences) / (_deviation(differences) / math.sqrt(len(differences)))
    return float(2 * stats.t.sf(abs(t), len(differences) - 1))


# -- formats ---------------------------------------------------------------------------------------

HEADINGS = (
    "head",
    "fits",
    "valence",
    "arousal",
    "mean",
    "interval",
    "difference",
    "p",
    "published",
)


def cells(row: Row) -> list[str]:
    """A row as text under `HEADINGS`; what is not known stays empty."""
    low, high = row.difference_interval
    spread = f" [{low:+.3f}, {high:+.3f}]" if math.isfinite(low) else ""
    return [
        row.label,
        f"{row.fits}" + (f" ({row.failed} failed)" if row.failed else ""),
        *(_spread(row.mean[m], row.deviation[m]) for m in _MEASURES),
        f"[{row.interval[0]:.3f}, {row.interval[1]:.3f}]" if math.isfinite(row.interval[0]) else "",
        f"{row.difference:+.3f}{spread}" if math.isfinite(row.difference) else "",
        _p_text(row.p),
        "/".join(f"{value:.3f}" for value in row.published) if row.published else "",
    ]


def _p_text(p: float) -> str:
    if not math.isfinite(p):
        return ""
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def _spread(mean: float, deviation: float) -> str:
    if not math.isfinite(mean):
        return ""
    return f"{mean:.3f}" + (f" ± {deviation:.3f}" if math.isfinite(deviation) else "")


def to_csv(rows: Sequence[Row]) -> str:
    """Numbers with all digits, one column each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = [f"{m} {what}" for m in _MEASURES for what in ("mean", "deviation")]
    bounds = ["interval low", "interval high", "difference", "difference low", "difference high"]
    writer.writerow(["head", "fits", "failed", *measures, *bounds, "p"])
    for row in rows:
        numbers = [v for m in _MEASURES for v in (row.mean[m], row.deviation[m])]
        numbers += [*row.interval, row.difference, *row.difference_interval, row.p]
        known = ("" if math.isnan(number) else repr(number) for number in numbers)
        writer.writerow([row.label, row.fits, row.failed, *known])
    return text.getvalue()


def to_markdown(rows: Sequence[Row]) -> str:
    """A table with its notes."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join([*lines, "", STATISTICS, NOTE, ""])


def to_latex(rows: Sequence[Row]) -> str:
    """A tabular for \\input; needs the package booktabs."""
    special = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {"±": "$\\pm$", "<": "$<$"})
    body = [" & ".join(each.translate(special) for each in cells(row)) + " \\\\" for row in rows]
    return "\n".join(
        [
            *(f"% {note}" for note in (STATISTICS, NOTE)),
            f"\\begin{{tabular}}{{l{'r' * (len(HEADINGS) - 1)}}}",
            "\\toprule",
            " & ".join(HEADINGS) + " \\\\",
            "\\midrule",
            *body,
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )
