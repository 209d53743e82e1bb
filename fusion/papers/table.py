"""The table of a sweep: means, deviations, intervals and paired differences, in four formats."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...cache.durable import canonical_json
from ...errors import ConfigError, counted
from ..config import TARGETS
from ..evaluation.metrics import FEW_VIDEOS, holm, over_videos, t_interval, t_test, with_mean
from ..models.heads import digest_head
from .fits import FitTask, Result
from .published import NOTE, published

STATISTICS = (
    "CCC: seeds are averaged within a fold. Over several folds: mean ± standard deviation of the "
    "folds, Student's t interval (95 %) of the mean CCC, and the difference of the mean CCC to the "
    "baseline on the same folds and seeds with interval and paired t-test; folds share training "
    "data, which these ignore. In one fold: mean ± standard deviation of the seeds, intervals and "
    "tests over its validation videos (delete-one jackknife, Student's t), which hold for these "
    "trained networks, not for other seeds. p (Holm): corrected for the number of rows compared."
)


@dataclass(frozen=True)
class Summary:
    """One row of a table: a row of the sweep over folds and seeds.

    Attributes:
        fits: number of finished fits.
        failed: number of others.
        mean: measure -> mean over folds of the mean over seeds.
        deviation: measure -> standard deviation (ddof 1) of the folds, or of the seeds of the only
            fold; NaN for one.
        interval: of the mean CCC's mean; NaN where nothing can be said.
        difference: of the mean CCC to the baseline's; NaN for the baseline.
        difference_interval: of that.
        p: of a two-sided paired t-test.
        p_holm: corrected for the number of rows that have a p.
        published: (valence, arousal) of the paper, or None.
        videos: how many video files the interval is taken over; 0 where it is over folds.
        same_as: an earlier row whose model is the same, or empty.
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
    p_holm: float
    published: tuple[float, float] | None
    videos: int
    same_as: str


def tabulate(results: Sequence[Result], baseline: str, *, per_fold: bool = False) -> list[Summary]:
    """Summarise the results that share a label, in the order of the sweep.

    Args:
        baseline: label of the row of the sweep to compare with.
        per_fold: whether every fold has a row, compared with the baseline's in the same fold.

    Raises:
        ConfigError: the baseline is not in the sweep.
    """
    known = list(dict.fromkeys(result.task.label for result in results))
    if baseline not in known:
        raise ConfigError(
            f"the baseline `{baseline}` is not in the sweep; there are: {', '.join(known)}"
        )
    groups: dict[str, list[Result]] = {}
    for result in results:
        task = result.task
        name = f"{task.label}, fold {task.fold}" if per_fold else task.label
        groups.setdefault(name, []).append(result)
    models: dict[bytes, str] = {}
    rows = []
    for name, group in groups.items():
        task = group[0].task
        folds = {result.task.fold for result in group}
        base = [r for r in results if r.task.label == baseline and r.task.fold in folds]
        twin = models.setdefault(_model(task, folds), name)
        rows.append(_summary(name, group, [] if task.label == baseline else base, twin))
    corrected = holm([row.p for row in rows])
    return [replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]


def _summary(name: str, group: list[Result], base: list[Result], twin: str) -> Summary:
    own = _finished(group)
    pairs = {key: (own[key], other) for key, other in _finished(base).items() if key in own}
    interval = _estimate({key: [result] for key, result in own.items()})
    gain = _estimate({key: list(pair) for key, pair in pairs.items()})
    measures = next((list(r.ccc) for r in own.values() if r.ccc), [*TARGETS, "mean"])
    each = {m: _over_folds({k: r.ccc[m] for k, r in own.items() if r.ccc}) for m in measures}
    folds = {task.fold for task in (result.task for result in group)}
    task = group[0].task
    return Summary(
        label=name,
        fits=len(own),
        failed=len(group) - len(own),
        mean={m: float(np.mean(values)) if own else math.nan for m, (values, _) in each.items()},
        deviation={m: deviation for m, (_, deviation) in each.items()},
        interval=interval.interval,
        difference=gain.value,
        difference_interval=gain.interval,
        p=gain.p,
        p_holm=math.nan,
        published=_published(task) if len(folds) == 1 else None,
        videos=interval.videos,
        same_as="" if twin == name else twin,
    )


def _finished(results: Sequence[Result]) -> dict[tuple[int, int], Result]:
    """(fold, seed) -> the finished fits."""
    return {(r.task.fold, r.task.seed): r for r in results if r.ccc is not None}


def _over_folds(values: Mapping[tuple[int, int], float]) -> tuple[np.ndarray, float]:
    """(fold, seed) -> value: the mean of every fold, and the deviation of folds or seeds."""
    folds: dict[int, list[float]] = {}
    for (fold, _), value in values.items():
        folds.setdefault(fold, []).append(value)
    means = np.array([np.mean(seeds) for seeds in folds.values()])
    spread = means if len(means) > 1 else np.array(list(values.values()))
    return means, float(spread.std(ddof=1)) if len(spread) > 1 else math.nan


@dataclass(frozen=True)
class _Estimate:
    """A mean CCC or a difference of two, with its interval and its test against zero."""

    value: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    p: float = math.nan
    videos: int = 0


def _estimate(fits: Mapping[tuple[int, int], Sequence[Result]]) -> _Estimate:
    """Of (fold, seed) -> [fit] or [fit, baseline's fit]; over folds, or over videos in one.

    No interval is given where fits of the only fold were validated on different videos.
    """
    if not fits:
        return _Estimate()
    every = [result for pair in fits.values() for result in pair]
    weights = np.array([1.0, -1.0][: len(every) // len(fits)])
    gains = {
        key: float(weights @ [r.ccc["mean"] for r in pair if r.ccc]) for key, pair in fits.items()
    }
    folds, _ = _over_folds(gains)
    value, videos = float(folds.mean()), 0
    if len(folds) > 1:
        error, count = float(folds.std(ddof=1)) / math.sqrt(len(folds)), len(folds)
    else:
        files = list(every[0].moments)
        if not files or any(set(result.moments) != set(files) for result in every):
            return _Estimate(value)
        sums = np.array([[r.moments[file] for r in every] for file in files])  # [V, fits, C, 3, 3]

        def gain(sums: np.ndarray) -> np.ndarray:
            ccc = with_mean(sums)[..., -1].reshape(len(sums), -1, len(weights))
            return (ccc @ weights).mean(1, keepdims=True)

        error, count = float(over_videos(sums, gain)[1][0]), len(files)
        videos = count
    low, high = t_interval(np.array(value), np.array(error), count)
    return _Estimate(value, (float(low), float(high)), t_test(value, error, count), videos)


def _published(task: FitTask) -> tuple[float, float] | None:
    return None if task.corruption else published(task.config, task.videos)


def _model(task: FitTask, folds: Collection[int]) -> bytes:
    """What determines the numbers of a row: the head by what it computes, not by its name."""
    config = task.config
    made = {"variant": config.variant, "recursions": config.recursions, **config.head_options}
    named = ("head", "recipe", *made, "head_options", "seed", "device")
    return canonical_json(
        {
            **{name: value for name, value in config.to_json().items() if name not in named},
            "head": digest_head(config.head, config.streams, **made),
            "fold": sorted(folds),
            "corruption": task.corruption and task.corruption.to_json(),
        }
    )


def notes(rows: Sequence[Summary]) -> list[str]:
    """What to bear in mind with a table."""
    texts = [STATISTICS]
    few = [row.videos for row in rows if 0 < row.videos < FEW_VIDEOS]
    if few:
        texts.append(
            f"Caution: intervals and tests over {counted(min(few), 'video')} are rough; take "
            f"{FEW_VIDEOS} videos or more, or several folds."
        )
    texts += [
        f"{row.label} is the same model as {row.same_as}: they differ by name only."
        for row in rows
        if row.same_as
    ]
    return [*texts, NOTE] if any(row.published for row in rows) else texts


# -- formats ---------------------------------------------------------------------------------------


def headings(rows: Sequence[Summary]) -> list[str]:
    """What stands over the cells of a row."""
    measures = list(rows[0].mean) if rows else [*TARGETS, "mean"]
    return [*("head", "fits", *measures, "interval"), *("difference", "p", "p (Holm)", "published")]


def cells(row: Summary) -> list[str]:
    """A row as text under `headings`; what is not known stays empty."""
    low, high = row.difference_interval
    spread = f" [{low:+.3f}, {high:+.3f}]" if math.isfinite(low) else ""
    return [
        row.label,
        f"{row.fits}" + (f" ({row.failed} failed)" if row.failed else ""),
        *(_spread(row.mean[m], row.deviation[m]) for m in row.mean),
        f"[{row.interval[0]:.3f}, {row.interval[1]:.3f}]" if math.isfinite(row.interval[0]) else "",
        f"{row.difference:+.3f}{spread}" if math.isfinite(row.difference) else "",
        _p_text(row.p),
        _p_text(row.p_holm),
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


def to_csv(rows: Sequence[Summary]) -> str:
    """Numbers with all digits, one column each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measures = [
        f"{m} {what}" for m in (rows[0].mean if rows else ()) for what in ("mean", "deviation")
    ]
    bounds = ["interval low", "interval high", "difference", "difference low", "difference high"]
    further = ["p", "p holm", "videos", "published valence", "published arousal"]
    writer.writerow(["head", "fits", "failed", *measures, *bounds, *further])
    for row in rows:
        numbers = [v for m in row.mean for v in (row.mean[m], row.deviation[m])]
        numbers += [*row.interval, row.difference, *row.difference_interval, row.p, row.p_holm]
        known = ("" if math.isnan(number) else repr(number) for number in numbers)
        last = row.videos or "", *(row.published or ("", ""))
        writer.writerow([row.label, row.fits, row.failed, *known, *last])
    return text.getvalue()


def to_markdown(rows: Sequence[Summary], remarks: Sequence[str] = ()) -> str:
    """A table with its notes, and remarks before them."""
    names = headings(rows)
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [f"| {' | '.join(cells(row))} |" for row in rows]
    return "\n".join([*lines, "", *remarks, *notes(rows), ""])


def to_latex(rows: Sequence[Summary], remarks: Sequence[str] = ()) -> str:
    """A tabular for \\input; needs the package booktabs."""
    special = str.maketrans({c: f"\\{c}" for c in "&%$#_{}"} | {"±": "$\\pm$", "<": "$<$"})
    body = [" & ".join(each.translate(special) for each in cells(row)) + " \\\\" for row in rows]
    return "\n".join(
        [
            *(f"% {note}" for note in (*remarks, *notes(rows))),
            f"\\begin{{tabular}}{{l{'r' * (len(headings(rows)) - 1)}}}",
            "\\toprule",
            " & ".join(headings(rows)) + " \\\\",
            "\\midrule",
            *body,
            "\\bottomrule",
            "\\end{tabular}",
            "",
        ]
    )
