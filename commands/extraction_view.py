"""How an extraction shows itself: what is done, a line per video, a summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import counted
from ..progress import listening
from .batch import show_job, stoppable
from .console import ERROR, PARTLY, STOPPED, say
from .progress import Pace, progress_bar

if TYPE_CHECKING:
    from ..extract.job import Extraction, Job
    from ..extract.task import Outcome, Task


@contextmanager
def extraction_view(
    videos: Path | None = None, faces: str = "detect", *, temporary: bool = False
) -> Iterator[ExtractionView]:
    """Show one job after the other; an interruption ends the program with what stays.

    Args:
        temporary: whether the cache goes at the end, so that nothing is promised to stay.
    """
    from ..errors import StoppedError

    view = ExtractionView(videos, faces, temporary)
    try:
        with stoppable() as view.stopped, view:
            yield view
    except StoppedError as error:
        view.summarise()
        say(f"error: {error}", err=True)
        sys.exit(PARTLY if view.extraction.usable else ERROR)
    except KeyboardInterrupt:
        say(f"stopped: {view.left()}", err=True)
        sys.exit(STOPPED)


class ExtractionView(ExitStack):
    """The terminal's side of one `Job` after the other.

    Attributes:
        extraction: how the present job goes.
        stopped: whether a request to end was heard.
    """

    extraction: Extraction
    stopped: Callable[[], bool]

    def __init__(self, videos: Path | None, faces: str, temporary: bool) -> None:
        super().__init__()
        self._videos, self._faces, self._temporary = videos, faces, temporary

    def start(self, job: Job) -> None:
        """Say what will be done."""
        from ..extract.job import Extraction

        show_job(job, self._videos, self._faces)
        self.extraction, self._job = Extraction(), job
        self._began = time.perf_counter()
        self._sizes = {video.id: _size(video.path) for video in job.dataset.videos}
        self._done = self._before = 0  # bytes of videos; of those that were complete before
        self._running: dict[str, tuple[int, int]] = {}  # video -> frames done, and all of them
        self._bar, self._pace = self.enter_context(progress_bar()), Pace()
        self._show()
        self.enter_context(listening(self.hear))

    def warn(self, message: str) -> None:
        """Show a warning."""
        say(f"warning: {message}", err=True)

    def step(self, outcome: Outcome) -> None:
        """Show a video; the end where it was asked for.

        Raises:
            KeyboardInterrupt: a library lost it.
        """
        self.extraction.add(outcome)
        self._running.pop(outcome.video, None)
        size = self._sizes[outcome.video]
        self._done += size
        self._before += size if outcome.status in ("complete", "quarantined") else 0
        say(_outcome_line(outcome))
        self._show()
        if self.stopped():
            raise KeyboardInterrupt

    def hear(self, task: Task, done: int, total: int, what: str) -> None:
        """Note how far a video is."""
        self._running[task.video.id] = done, total
        self._show()

    def _show(self) -> None:
        running = dict(self._running)  # others may change it
        part = sum(self._sizes[video] * done / total for video, (done, total) in running.items())
        done, total = (sum(pair[i] for pair in running.values()) for i in (0, 1))
        rate = self._pace(self.extraction.rows + done)
        self._bar.show(
            self._done + part,
            sum(self._sizes.values()),
            f"{self.extraction.videos}/{counted(len(self._sizes), 'video')}",
            f"{done:,}/{counted(total, 'frame')}" if running else "",
            f"{rate:.0f}/s" if rate else "",
            ", ".join(running),
            before=self._before,
        )

    def run(self, job: Job) -> Extraction:
        """Run a job and show it."""
        self.start(job)
        job.run(warn=self.warn, progress=self.step)
        self.summarise()
        return self.extraction

    def summarise(self) -> None:
        """Say how it went, what could not be used, and which annotations are in force."""
        from ..extract.labels_report import describe_labels

        self.close()  # the bar
        done = self.extraction
        cache = "temporary" if self._temporary else self._job.settings.cache
        say(
            f"{counted(done.extracted, 'video')} extracted ({counted(done.rows, 'frame')}, "
            f"{counted(done.shards, 'shard')}), "
            f"{done.complete} complete before, {len(done.problems)} with problems, "
            f"in {time.perf_counter() - self._began:.1f} s; cache: {cache}"
        )
        for outcome in done.problems:
            for problem in outcome.problems:
                say(f"  {outcome.video}: {problem}", err=True)
            if outcome.trace:
                say(outcome.trace, err=True)
        if not self._temporary:
            for line in describe_labels(done.labels, self._job.dataset):
                say(line)

    def show_times(self) -> None:
        """Say where the processes' time went, and how busy the devices were."""
        times = self.extraction.times
        for stage, seconds in sorted(times.items(), key=lambda pair: -pair[1]):
            per_frame = 1000 * seconds / max(1, self.extraction.rows)
            say(f"  {stage:24s} {seconds:9.2f} s {per_frame:9.3f} ms per frame")

    @property
    def found(self) -> int:
        """Number of videos of the present job."""
        return len(self._sizes)

    @property
    def problems(self) -> int:
        """Number of videos that cannot be used, wholly or in part, and of other findings."""
        return len(self.extraction.problems) + len(self._job.dataset.problems)

    def left(self) -> str:
        """What stays after an interruption."""
        kept = (
            f"are done and stay in {self._job.settings.cache}; the same command continues with "
            "the others"
        )
        if self._temporary:
            kept = "were done and are lost with the temporary cache; --cache DIR keeps them"
        return f"{self.extraction.videos} of {counted(len(self._sizes), 'video')} {kept}"


def _size(path: Path) -> int:
    """Bytes of a file; none of one that has gone since it was found, as its outcome will say."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _outcome_line(outcome: Outcome) -> str:
    line = f"  {outcome.video}: {outcome.status}"
    if outcome.status == "extracted":
        speed = outcome.rows / outcome.seconds
        line += f", {counted(outcome.rows, 'frame')} in {outcome.seconds:.1f} s ({speed:.0f}/s)"
    return "\n    ".join([line, *outcome.notes])
