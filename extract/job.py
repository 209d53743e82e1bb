"""One extraction, from what a user says: which videos, which streams, where and with what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..cache.index import open_catalog
from ..cache.layout import MARKER
from ..device import find_device
from ..errors import ArgumentsError
from .annotate import find_disappeared, readings_before
from .annotations.reading import Reading
from .dataset import Dataset, find_dataset
from .options import choose_options
from .plan import Part, sensible_jobs, take_part
from .prepare import make_settings
from .task import ItemLabels, Outcome, Settings

if TYPE_CHECKING:
    from .attempts import Policy


@dataclass
class Extraction:
    """How an extraction went, as far as it is.

    Attributes:
        videos: number of videos so far.
        extracted, complete: of them, those extracted now and those that were complete before.
        rows: frames extracted.
        shards: shards written.
        problems: outcomes of videos that could not be used, wholly or in part.
        labels: what the cache holds of the annotation of each item so far.
        times: stage -> seconds, of all processes together, see `stages`.
    """

    videos: int = 0
    extracted: int = 0
    complete: int = 0
    rows: int = 0
    shards: int = 0
    problems: list[Outcome] = field(default_factory=list)
    labels: list[ItemLabels] = field(default_factory=list)
    times: Counter[str] = field(default_factory=Counter)

    @property
    def usable(self) -> int:
        """Number of videos that the cache holds now."""
        return self.extracted + self.complete

    def add(self, outcome: Outcome) -> None:
        """Count one more video."""
        self.videos += 1
        self.labels += outcome.labels
        self.times.update(outcome.stages)
        self.complete += outcome.status == "complete"
        if outcome.status == "extracted":
            self.extracted += 1
            self.rows += outcome.rows
            self.shards += outcome.units
        if outcome.problems:
            self.problems.append(outcome)


@dataclass(frozen=True)
class Job:
    """An extraction that is ready to run.

    Attributes:
        dataset: the videos and their annotations.
        settings: streams, cropping, cache, device.
        jobs: processes of this machine; 1 stays in this process.
        reason: why these streams, for people.
        part: which part of a larger data set it is.
        found: number of videos of the whole data set.
        scheduler: address of a Dask scheduler whose workers extract, in place of `jobs`.
        devices: several that compute for the processes; empty for the one of the settings.
        disappeared: what the cache holds of videos and annotations that are gone, for people.
    """

    dataset: Dataset
    settings: Settings
    jobs: int
    reason: str
    part: Part | None = None
    found: int = 0
    scheduler: str | None = None
    devices: tuple[str, ...] = ()
    disappeared: tuple[str, ...] = ()

    def run(
        self,
        policy: Policy | None = None,
        *,
        warn: Callable[[str], None] = lambda message: None,
        progress: Callable[[Outcome], None] = lambda outcome: None,
    ) -> Extraction:
        """Extract what is missing; raises what `run.run_extraction` does.

        Args:
            policy: how failures are met.
            warn: told what is odd about the streams, before the first video.
            progress: told of every video.
        """
        from .attempts import DEFAULT
        from .run import run_extraction

        extraction = Extraction()
        for outcome in run_extraction(
            self.dataset,
            self.settings,
            jobs=self.jobs,
            policy=policy or DEFAULT,
            part=self.part,
            scheduler=self.scheduler,
            devices=self.devices,
            warn=warn,
        ):
            extraction.add(outcome)
            progress(outcome)
        return extraction


@dataclass(frozen=True)
class JobOptions:
    """What a user asks for beside videos and cache.

    Attributes:
        streams: names of encoders, also as one string with commas; None takes those of `config`,
            or the embedded default.
        config: TOML file of named streams.
        faces: "detect", "frame", or the folder of face crops.
        labels: folder of annotations; None looks beside the videos.
        split: file of `video,partition` rows; None looks beside the videos.
        reading: scale, rate, delay ... of the annotations; None reads them as they say.
        ids: whether videos are named by file name or by path.
        video_stream: index in the container, None for the default one.
        audio_stream: likewise.
        dtype: stored precision of all streams; None leaves the file's, or float16.
        precision: of computing: "float32", "bfloat16", "float16" or "auto".
        device: "auto", "cpu", "cuda" or "cuda:N".
        devices: several of them in place of one, also as one string with commas; each computes, in
            one process, for its share of `jobs`.
        jobs: processes; None takes as many as the length of the videos is worth.
        partition: "I/N" takes part I of N.
        scheduler: address of a Dask scheduler whose workers extract.
    """

    streams: str | Iterable[str] | None = None
    config: str | PathLike[str] | None = None
    faces: str | PathLike[str] = "detect"
    labels: str | PathLike[str] | None = None
    split: str | PathLike[str] | None = None
    reading: Reading | None = None
    ids: Literal["stem", "path"] = "stem"
    video_stream: int | None = None
    audio_stream: int | None = None
    dtype: str | None = None
    precision: str = "auto"
    device: str = "auto"
    devices: str | Iterable[str] | None = None
    jobs: int | None = None
    partition: str | None = None
    scheduler: str | None = None


def make_job(videos: Path, cache: Path, asked: JobOptions) -> Job:
    """Find the videos and work out the streams; loads no network.

    Raises:
        ConfigError: unknown streams or options, no such folder or device.
        MediaError: there is no such folder or video.
        WeightsError: weights are missing or wrong.
    """
    devices = _devices(asked)
    part = Part.parse(asked.partition) if asked.partition else None
    streams = asked.streams
    names = streams if streams is None or isinstance(streams, str) else ",".join(streams)
    options = choose_options(names, asked.dtype, _path(asked.config))
    catalog = open_catalog(cache) if (cache / MARKER).exists() else None
    dataset = find_dataset(
        videos,
        labels=_path(asked.labels),
        split=_path(asked.split),
        ids=asked.ids,
        reading=asked.reading,
        before=readings_before(catalog) if catalog else None,
    )
    disappeared: tuple[str, ...] = ()
    if videos.is_dir() and catalog and (part is None or part.number == 1):
        disappeared = tuple(find_disappeared(dataset, catalog).lines())
    found = len(dataset.videos)
    if part:
        dataset = take_part(dataset, part)
    settings = make_settings(
        cache,
        options,
        faces=str(asked.faces),
        device=devices[0] if devices else asked.device,
        precision=asked.precision,
        elsewhere=asked.scheduler is not None,
        video_stream=asked.video_stream,
        audio_stream=asked.audio_stream,
    )
    jobs = 1 if asked.scheduler is not None else asked.jobs
    beside = "cuda" if devices else settings.device
    jobs = jobs or max(len(devices), sensible_jobs(dataset.videos, beside, settings.specs))
    return Job(
        dataset, settings, jobs, options.reason, part, found, asked.scheduler, devices, disappeared
    )


def _devices(asked: JobOptions) -> tuple[str, ...]:
    """The devices asked for, if there are several or one by that name."""
    if asked.devices is None:
        return ()
    names = asked.devices
    names = tuple(names.split(",")) if isinstance(names, str) else tuple(names)
    if asked.device != "auto" or asked.scheduler is not None:
        other = "--device" if asked.device != "auto" else "--scheduler"
        raise ArgumentsError(f"--devices and {other} are at odds; leave one of them out")
    return tuple(find_device(name) for name in names)


def _path(path: str | PathLike[str] | None) -> Path | None:
    return None if path is None else Path(path)
