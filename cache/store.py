"""`FeatureStore`: read-only, zero-copy access to everything in a cache folder."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import CacheError, counted
from .catalog import Catalog, Folder, RowRange
from .header_checks import TARGETS
from .index import open_catalog
from .labels import earlier
from .layout import check_cache
from .rows import KEPT, RowReader
from .timeline import Timeline, usable


class FeatureStore:
    """A cache folder opened for reading; opening and reading never write.

    Streams are named `onet` or, where several keys of one stream lie side by side, `onet@KEY`
    (any unambiguous prefix of the key). Items are subjects: `video59` and `video59_right` are two
    items of one video that share its timeline and its audio rows.
    """

    def __init__(self, root: Path, catalog: Catalog) -> None:
        self.root = root
        self._subjects = dict(catalog.subjects())
        self._views: OrderedDict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._moved: dict[tuple[str, tuple[str, ...], float], np.ndarray] = {}
        self._rows = RowReader(root, catalog, self._views.clear)

    @property
    def _catalog(self) -> Catalog:
        return self._rows.catalog

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> FeatureStore:
        """Open a cache folder.

        Raises:
            CacheError: the folder is not a cache that this vapipe reads.
        """
        root = Path(path)
        check_cache(root)
        return cls(root, open_catalog(root))

    def __reduce__(self) -> tuple[Callable[[Path], FeatureStore], tuple[Path]]:
        """Travels to other processes as its path; each maps the shards itself."""
        return FeatureStore.open, (self.root,)

    # -- what is there ---------------------------------------------------------------------------

    def videos(self) -> list[str]:
        """Ids of all items (one subject of one video each), sorted."""
        return sorted(self._subjects)

    def sources(self) -> list[str]:
        """Ids of all video files, sorted; audio rows belong to these."""
        return sorted(self._catalog.timelines)

    def source(self, video: str) -> dict:
        """Name, size and SHA-256 of an item's video file."""
        return dict(self._catalog.timelines[self._video(video)].facts["source"])

    def streams(self) -> list[str]:
        """Names of all streams, sorted."""
        return sorted({stream for stream, _ in self._catalog.features})

    def keys(self, stream: str) -> list[str]:
        """All keys stored for a stream name, sorted."""
        return sorted(key for name, key in self._catalog.features if name == stream)

    def key(self, stream: str) -> str:
        """The full key that `stream` (or `stream@prefix`) stands for.

        Raises:
            CacheError: no such stream or key, or more than one.
        """
        return self._resolve(stream)[1]

    def has(self, video: str, stream: str) -> bool:
        """Whether the item's rows of this stream are there and belong to its present timeline.

        Raises:
            CacheError: unknown item, or unknown or ambiguous stream.
        """
        return self._fault(video, stream) is None

    def damaged(self) -> dict[Path, str]:
        """Shards that cannot be used, with the reason; everything else is served."""
        return self._catalog.damaged()

    def dim(self, stream: str) -> int:
        """Feature dimension D of a stream."""
        return self._folder(stream).dim

    def dtype(self, stream: str) -> np.dtype:
        """Stored precision of a stream: float16 or float32."""
        return np.dtype(self._folder(stream).dtype)

    def modality(self, stream: str) -> str:
        """`visual` or `audio`."""
        return self._folder(stream).provenance["modality"]

    def config(self, stream: str) -> dict:
        """What the stream's key is the digest of: encoder, options, weights, preprocessing."""
        return dict(self._folder(stream).provenance["config"])

    def partition(self, video: str) -> str | None:
        """`train`, `validation`, `test`, or None when no split named this item."""
        self._video(video)
        place = self._catalog.labels.get(video)
        return place.facts["partition"] if place else None

    def label_source(self, video: str) -> dict:
        """Which files an item's labels came from and how they were read; empty without any."""
        self._video(video)
        place = self._catalog.labels.get(video)
        return dict(place.facts["source"]) if place else {}

    # -- the data --------------------------------------------------------------------------------

    def read(self, video: str, stream: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Features of rows [start, stop); [n, D] float16 (or float32), a read-only mapped view.

        Rows of a compressed shard are decompressed once per item.

        Raises:
            CacheError: unknown item or stream, rows not extracted, stale or damaged.
        """
        return self._view(video, stream)[0][start:stop]

    def valid(self, video: str, stream: str) -> np.ndarray:
        """Validity of the T rows, uint8: 0 = unusable, else a usable `Valid` code.

        `status` keeps the reasons of unusable rows.
        """
        codes = self.status(video, stream)
        return np.where(usable(codes), codes, np.uint8(0))

    def status(self, video: str, stream: str) -> np.ndarray:
        """The T stored `Valid` codes, uint8, with the reasons of unusable rows."""
        return self._view(video, stream)[1]

    def boxes(self, video: str, stream: str) -> np.ndarray:
        """Where the face of each row was, [T, 4] float32: left, top, width, height.

        In pixels of the frame as it is displayed; may reach over its edges. NaN where there is no
        face, and in all rows where none was looked for (crop files, whole frames, sound, imported
        features) or where an earlier vapipe extracted, which stored none.
        """
        return self._array(video, stream, "box")

    def tracks(self, video: str, stream: str) -> np.ndarray:
        """Whom each row shows, [T] uint16: numbers from 1 in order of appearance, 0 for nobody.

        A number stays while a face is followed and looks alike, and comes back where it looks the
        same again; two numbers may be one person who was not recognised.
        """
        return self._array(video, stream, "track")

    def timeline(self, video: str) -> Timeline:
        """Presentation times of the video's T frames."""
        owner = self._video(video)
        pts = self._rows.read(lambda catalog: catalog.timelines.get(owner), owner, "pts")
        return Timeline(pts, self._catalog.timelines[owner].facts["fps"])

    def rows(self, video: str) -> int:
        """Number of frames T, without touching the data."""
        place = self._catalog.timelines[self._video(video)]
        return place.rows

    def targets(self) -> tuple[str, ...]:
        """What is annotated: valence and arousal, and others by name; only others where just so."""
        return self._targets

    @cached_property
    def _targets(self) -> tuple[str, ...]:
        named = [place.facts.get("targets", TARGETS) for place in self._catalog.labels.values()]
        found = {target for targets in named for target in targets}
        first = TARGETS if not found or found & set(TARGETS) else ()
        return (*first, *sorted(found - set(TARGETS)))

    def labels(
        self, video: str, targets: Sequence[str] | None = None, *, delay: float = 0.0
    ) -> np.ndarray:
        """Annotations, [T, targets] float32, NaN where not annotated.

        Args:
            video: item id.
            targets: what the columns are to be; None for those of `targets()`, which are valence
                and arousal unless the annotations name others.
            delay: seconds by which the annotation lags behind the picture; row i is then what was
                annotated that much after frame i.

        Raises:
            CacheError: unknown item, or labels of another length than the timeline.
        """
        rows, wanted = self.rows(video), tuple(self.targets() if targets is None else targets)
        place = self._catalog.labels.get(video)
        if place is None:
            return np.full((rows, len(wanted)), np.nan, np.float32)
        if place.rows != rows:
            raise CacheError(
                f"{video}: {counted(place.rows, 'label row')} for a timeline of "
                f"{counted(rows, 'frame')}; run `vapipe extract` again, it takes the labels in anew"
            )
        if delay:
            return self._delayed(video, wanted, delay)
        values = self._rows.read(lambda catalog: catalog.labels.get(video), video, "labels")
        stored = tuple(place.facts.get("targets", TARGETS))
        if wanted == stored:
            return values
        missing = np.full(rows, np.nan, np.float32)
        columns = [values[:, stored.index(t)] if t in stored else missing for t in wanted]
        return np.stack(columns, axis=1)

    def _delayed(self, video: str, targets: tuple[str, ...], delay: float) -> np.ndarray:
        """Labels moved, which takes long enough to be kept."""
        key = video, targets, delay
        if key not in self._moved:
            values = self.labels(video, targets)
            self._moved[key] = earlier(values, self.timeline(video).pts, delay)
        return self._moved[key]

    # -- inside ----------------------------------------------------------------------------------

    def _video(self, item: str) -> str:
        """The video file of an item (or of itself)."""
        video = self._subjects.get(item, item)
        if video not in self._catalog.timelines:
            raise CacheError(
                f"no video `{item}` in {self.root} ({counted(len(self._subjects), 'item')}; "
                "`FeatureStore.videos()` lists them)"
            )
        return video

    def _resolve(self, stream: str) -> tuple[str, str]:
        name, _, prefix = stream.partition("@")
        keys = [key for key in self.keys(name) if key.startswith(prefix)]
        if len(keys) == 1:
            return name, keys[0]
        if keys:
            choices = ", ".join(f"{name}@{key[:8]}" for key in keys)
            raise CacheError(
                f"stream `{stream}` has {len(keys)} keys in {self.root}: {choices}; "
                "name the one you mean"
            )
        stored = ", ".join(f"{s}@{key[:8]}" for s, key in sorted(self._catalog.features))
        raise CacheError(
            f"no stream `{stream}` in {self.root}; stored: {stored or 'none'}. "
            f"`vapipe extract --streams {name}` makes it"
        )

    def _folder(self, stream: str) -> Folder:
        return self._catalog.features[self._resolve(stream)].folder

    def _owner(self, video: str, stream: str) -> str:
        """Whose rows an item's are: its own, or for audio its video's."""
        owner = self._video(video)
        return owner if self.modality(stream) == "audio" else video

    def _fault(self, video: str, stream: str) -> str | None:
        """Why the rows cannot be served, or None."""
        owner = self._owner(video, stream)
        place = self._catalog.features[self._resolve(stream)].get(owner)
        if place is None:
            return "not extracted"
        return place.stale_reason(self._catalog.timelines[self._video(video)], owner)

    def _view(self, video: str, stream: str) -> tuple[np.ndarray, np.ndarray]:
        """Features [T, D] and codes [T] of an item, checked once and then kept."""
        view = self._views.get((video, stream))
        if view is None:
            view = self._array(video, stream, "features"), self._array(video, stream, "valid")
            self._views[video, stream] = view
            if len(self._views) > KEPT:
                self._views.popitem(last=False)
        return view

    def _array(self, video: str, stream: str, name: str) -> np.ndarray:
        """An array's rows of an item, which must be there."""
        fault = self._fault(video, stream)
        if fault:
            raise CacheError(
                f"{video}: stream `{stream}` is {fault}; "
                f"`vapipe extract --streams {stream.partition('@')[0]}` redoes it"
            )
        owner, unit = self._owner(video, stream), self._resolve(stream)

        def find(catalog: Catalog) -> RowRange | None:
            group = catalog.features.get(unit)
            return group.get(owner) if group else None

        return self._rows.read(find, owner, name)
