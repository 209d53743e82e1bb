"""From run folders to a page: gathers, checks, packs and writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import counted
from ..fusion.evaluation.corruption import KINDS
from ..fusion.papers.published import NOTE
from ..fusion.runs.model_card import LAYERS
from .measures import (
    BINS,
    agreement,
    density,
    difference,
    planes,
    summary,
    within_video,
)
from .media import find_media, media_url
from .page import Asset, Page, write_page
from .records import RunRecord, frame_gates, gates_command, video_ccc
from .series import (
    GATE_STEPS,
    describe_gates,
    describe_metrics,
    pack_gates,
    pack_times,
    pack_values,
)
from .truth import Lane, VideoTruth, read_runs

_SCRIPTS = (
    "run_sections.js", "run_planes.js", "run_trajectories.js", "run_list.js", "run_videos.js",
)  # fmt: skip
_NOTES = 5  # at most so many videos without a file are named


@dataclass(frozen=True)
class WrittenReport:
    """A report.

    Attributes:
        path: the file.
        size: bytes.
        videos: how many are in it.
        frames: of all of them.
        notes: what is missing from it, and what makes it.
    """

    path: Path
    size: int
    videos: int
    frames: int
    notes: list[str] = field(default_factory=list)


def write_report(
    runs: Sequence[Path],
    out: Path,
    *,
    partition: str = "validation",
    media: Path | None = None,
    cache: Path | None = None,
) -> WrittenReport:
    """Write a page about runs.

    Args:
        runs: their folders; differences are to the first one.
        media: a folder with the video files, to play beside their curves.
        cache: where the cache lies; None takes the path that each run recorded.

    Raises:
        ConfigError: a run that cannot be read or was not evaluated on the partition, runs that do
            not predict the same videos, a cache that is gone or has changed, no media.
    """
    records, truth = read_runs(runs, partition, cache)
    truth = sorted(truth, key=lambda item: (video_ccc(records, item.video), item.video))
    found, lacking = find_media(media, truth) if media else ({}, [])
    notes = lacking[:_NOTES]
    if len(lacking) > _NOTES:
        notes.append(f"and {counted(len(lacking) - _NOTES, 'more video')} without a file")
    blocks: dict[str, str] = {}
    videos = []
    for number, item in enumerate(truth):
        url = media_url(found[item.video], out) if item.video in found else None
        videos.append(_describe_video(number, item, records, url, blocks))
    for record in records:
        if record.gates is None:
            notes.append(f"{record.name} has no gates stored; `{gates_command(record)}`")
    targets = records[0].targets
    sources = planes(records, truth)
    data = {
        "partition": partition,
        "targets": list(targets),
        "runs": [_describe_run(record, partition) for record in records],
        "differences": [difference(records[0], other, truth) for other in records[1:]],
        "videos": videos,
        "plane": {
            "bins": BINS,
            "planes": [
                {"name": name, "counts": density(own, targets), "summary": summary(own, targets)}
                for name, own in sources
            ],
        },
        "agreement": [agreement(sources[0][1], own, targets) for _, own in sources[1:]],
        "kinds": {kind: about for kind, (_, about) in KINDS.items()},
        "published": NOTE,
        "gateSteps": GATE_STEPS,
        "media": media is not None,
    }
    package = __package__ or ""
    page = Page(
        title=f"{' and '.join(record.name for record in records)}: {partition}",
        body=Asset(package, "run_report.html"),
        data=data,
        blocks=blocks,
        scripts=[Asset(package, name) for name in _SCRIPTS],
        media=bool(found),
    )
    size = write_page(out, page)
    return WrittenReport(out, size, len(truth), sum(len(item.pts) for item in truth), notes)


def _describe_run(record: RunRecord, partition: str) -> dict[str, Any]:
    config, roles = record.config, list(record.cache["streams"])
    layers = record.path / LAYERS
    gates = record.gates
    return {
        "name": record.name,
        "path": str(record.path),
        "head": config["head"],
        "variant": config.get("variant", ""),
        "evaluation": {
            k: v for k, v in record.evaluation.items() if k not in ("per_video", "moments")
        },
        "published": record.published,
        "system": record.system,
        "metrics": describe_metrics(record.metrics),
        "points": [{k: v for k, v in p.items() if k != "moments"} for p in record.points],
        "gates": gates and describe_gates(gates, config["head"], config.get("variant", ""), roles),
        "gatesCommand": gates_command(record),
        "provenance": {
            "config.json": config,
            "environment.json": record.environment,
            "cache.json": {k: v for k, v in record.cache.items() if k != "videos"},
            **({LAYERS: json.loads(layers.read_text())} if layers.is_file() else {}),
        },
        "streams": [
            {"role": role, **{k: facts[k] for k in ("stream", "key", "dim", "modality")}}
            for role, facts in record.cache["streams"].items()
        ],
        "trained": {part: len(names) for part, names in record.cache["videos"].items()},
        "cache": {"path": record.cache["path"], "digest": record.cache["digest"]},
    }


def _describe_video(
    number: int,
    item: VideoTruth,
    records: Sequence[RunRecord],
    url: str | None,
    blocks: dict[str, str],
) -> dict[str, Any]:
    """What the page knows of a video at once; its series go into `blocks`."""
    labels, label_step = pack_values(item.labels)
    blocks[f"v{number}-labels"] = labels
    times, facts = pack_times(item.pts)
    if times is not None:
        blocks[f"v{number}-times"] = times
    steps, gates = [], []
    for index, record in enumerate(records):
        blocks[f"v{number}-run{index}"], step = pack_values(record.predictions[item.video])
        steps.append(step)
        gates.append(_pack_gates(number, index, item.video, record, blocks))
    return {
        "id": item.video,
        "file": item.source["name"],
        "media": url,
        "rows": len(item.pts),
        "fps": item.fps,
        "end": float(item.pts[-1] + 1 / item.fps),
        "constant": times is None,
        **facts,
        "annotated": int(np.isfinite(item.labels).all(axis=1).sum()),
        "ccc": [record.evaluation["per_video"][item.video] for record in records],
        "within": [
            within_video(record.predictions[item.video], item, record.targets) for record in records
        ],
        "lanes": [_describe_lane(lane, len(item.pts)) for lane in item.lanes],
        "labelStep": label_step,
        "steps": steps,
        "gates": gates,
    }


def _pack_gates(
    number: int, index: int, video: str, record: RunRecord, blocks: dict[str, str]
) -> dict[str, list[float]] | None:
    if record.gates is None or not record.gates.groups:
        return None
    values = frame_gates(record, video)
    blocks[f"v{number}-gates{index}"], low, high = pack_gates(values)
    return {"low": low, "high": high}


def _describe_lane(lane: Lane, rows: int) -> dict[str, Any]:
    return {
        "label": lane.label,
        "kind": lane.kind,
        "rows": int((lane.spans[:, 1] - lane.spans[:, 0]).sum()),
        "spans": lane.spans.ravel().tolist(),
    }
