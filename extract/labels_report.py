"""What annotations are in force after a run, in words: the whole of it, nothing left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import counted, some
from .dataset import Dataset
from .task import ItemLabels

_ORDER = ("train", "validation", "test", "no partition")
_NAMED = 5


def describe_labels(labels: Sequence[ItemLabels], dataset: Dataset) -> list[str]:
    """Lines about the annotations in force, and about what was found and not used.

    Args:
        labels: of every item of the data set that the cache holds.
        dataset: what was looked at.
    """
    own = {each.item: each for each in labels if each.annotated}
    items = [subject.id for video in dataset.videos for subject in video.subjects]
    what = "video" if len(items) == len(dataset.videos) else "item"
    lines = [f"annotations: {len(own)} of {counted(len(items), what)}{_where(own, dataset)}"]
    if own:
        annotated = sum(each.annotated for each in own.values())
        rows = sum(int(each.facts["rows"]) for each in own.values())
        parts = Counter(each.partition or "no partition" for each in own.values())
        shares = ", ".join(f"{name} {parts[name]}" for name in sorted(parts, key=_ORDER.index))
        lines.append(f"  {shares}; {annotated / rows:.1%} of {counted(rows, 'frame')} annotated")
        lines += _ranges(own.values(), dataset)
        lines += _agreement(own.values())
        early = [i for i, each in own.items() if each.annotated < each.facts["rows"] / 2]
        lines += _listed("less than half annotated", early)
    known = {each.item for each in labels}
    bare = [each.item for each in labels if not each.annotated]
    lines += _listed("not annotated", bare if own else [])
    lines += _listed("not in the cache, so without labels", [i for i in items if i not in known])
    if any(each.partition for each in own.values()):
        lines += _listed("no partition", [i for i, each in own.items() if not each.partition])
    lines += _listed("labels removed", [e.item for e in labels if e.change == "removed"])
    kept: dict[str, list[str]] = defaultdict(list)
    for each in labels:
        if each.kept:
            kept[each.kept].append(each.item)
    for origin, names in kept.items():
        lines += _listed(f"kept from {origin}, which this run did not read", names)
    for name, reason in dataset.unused[:_NAMED]:
        lines.append(f"  not used: {name}: {reason}")
    if len(dataset.unused) > _NAMED:
        lines.append(f"  not used: {counted(len(dataset.unused) - _NAMED, 'more file')}")
    return lines


def _where(own: Mapping[str, ItemLabels], dataset: Dataset) -> str:
    if not own or dataset.labels is None:
        return ""
    words = dataset.reader.reading.words()
    return f", from {dataset.labels}{f' (read with {words})' if words else ''}"


def _listed(what: str, names: Sequence[str]) -> list[str]:
    return [f"  {what}: {some(names, _NAMED)}"] if names else []


def _ranges(labels: Any, dataset: Dataset) -> list[str]:
    """Lowest and highest values, which tell a wrong scale."""
    found: dict[str, list[float]] = defaultdict(list)
    for each in labels:
        for target, pair in each.facts.get("range", {}).items():
            found[target] += pair
    words = [f"{target} {min(own):+.2f} to {max(own):+.2f}" for target, own in found.items()]
    lines = [f"  {', '.join(words)}"] if words else []
    above = [target for target, own in found.items() if min(own) >= 0 and max(own) > 0]
    if above and not dataset.reader.reading.scale:
        scale = ",".join(f"{target}=0..1" for target in above)
        lines.append(
            f"  no value of {' and '.join(above)} is below 0; on a scale from 0 to 1: "
            f"--scale {scale}"
        )
    return lines


def _agreement(labels: Any) -> list[str]:
    """Concordance of the annotators, pair by pair, averaged over the items."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for each in labels:
        for target, pairs in each.facts.get("agreement", {}).items():
            for pair, value in pairs.items():
                found[target][pair].append(value)
    lines = []
    for target, pairs in found.items():
        means = {pair: sum(values) / len(values) for pair, values in pairs.items()}
        mean = sum(means.values()) / len(means)
        shown = ", ".join(f"{pair} {value:.2f}" for pair, value in list(means.items())[:10])
        lines.append(f"  annotators of {target} agree with a CCC of {mean:.2f} ({shown})")
    return lines
