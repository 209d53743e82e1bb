"""Tries videos, tries those that fail once more alone, and knows when to give up on all of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ..cache.catalog import Catalog
from ..errors import VapipeError
from ..workers import Death, Engine, Limits
from .plan import length_of
from .runlog import Write
from .video import Outcome, Task

_TELLING = 5  # so many first failures, all alike, are the set-up's and not the videos'
_TIME_FACTOR = 100.0  # seconds per second of video; far more than the slowest encoder needs


class StoppedError(VapipeError):
    """Failures end the run before its end; the message says why and what to do."""


@dataclass(frozen=True)
class Policy:
    """How failures are met.

    Attributes:
        retries: how often a video is tried again, alone, when all others are done.
        time_limit: seconds that a video may take per second of its length; None for 100 in worker
            processes and no limit in this one.
        grace: seconds that every video may take on top, for starting and loading.
        memory_limit: resident bytes of a worker process, None for any.
        max_failures: videos that may fail, None for any number.
        retry_failed: try videos again that failed in an earlier run.
    """

    retries: int = 1
    time_limit: float | None = None
    grace: float = 300.0
    memory_limit: int | None = None
    max_failures: int | None = None
    retry_failed: bool = False


DEFAULT = Policy()


def limits_of(policy: Policy, catalog: Catalog) -> Limits:
    """The limits of worker processes."""
    factor = policy.time_limit or _TIME_FACTOR

    def seconds(task: Any) -> float:
        if not isinstance(task, Task):
            return math.inf  # loading the encoders
        return policy.grace + factor * length_of(task, catalog)[0]

    return Limits(seconds, policy.memory_limit)


class Attempts:
    """The tries of one run."""

    def __init__(
        self,
        work: Callable[[Task], Outcome],
        policy: Policy,
        alone: Callable[[], AbstractContextManager[Engine]],
        log: Write,
    ) -> None:
        """Nothing is tried yet; `alone` opens the engine of a single suspect."""
        self._work, self._policy, self._alone, self._log = work, policy, alone, log
        self._suspects: list[tuple[Task, Outcome]] = []
        self._failed = 0
        self._succeeded = False

    def first(self, engine: Engine, tasks: Sequence[Task]) -> Iterator[tuple[Task, Outcome]]:
        """Try all; yields what is decided. What failed otherwise than by its file is suspect.

        Raises:
            StoppedError: more failures than the policy allows, or only failures of one kind.
        """
        for task, answer in engine(self._work, tasks):
            outcome = self._settle(task, answer, attempt=1)
            self._succeeded |= outcome.status == "extracted"
            self._failed += outcome.status == "failed"
            if outcome.status == "failed" and outcome.fault != "media":
                self._suspects.append((task, outcome))
                self._check_set_up()
            else:
                yield task, outcome
            self._check_number()

    def again(self) -> Iterator[tuple[Task, Outcome]]:
        """Try the suspects again, each alone."""
        for task, outcome in self._suspects:
            for attempt in range(2, self._policy.retries + 2):
                # A process of its own: others may have taken the memory, or spoilt the process.
                with self._alone() as engine:
                    ((_, answer),) = engine(self._work, [task])
                outcome = self._settle(task, answer, attempt)
                if outcome.status != "failed":
                    break
            yield task, outcome

    def _settle(self, task: Task, answer: Outcome | Death, attempt: int) -> Outcome:
        """Turn a death into an outcome, and log it."""
        if isinstance(answer, Death):
            reason = _explain(task, answer, alone=attempt > 1)
            answer = Outcome(task.video.id, "failed", problems=(reason,), fault="death")
        speed = answer.rows / answer.seconds if answer.seconds else 0.0
        self._log(
            "unit",
            video=answer.video,
            streams=sorted(task.streams),
            attempt=attempt,
            outcome=answer.status,
            rows=answer.rows,
            duration=round(answer.duration, 3),
            seconds=round(answer.seconds, 3),
            frames_per_s=round(speed, 1),
            peak_bytes=answer.peak,
            problems=list(answer.problems),
        )
        return answer

    def _check_set_up(self) -> None:
        kinds = {_kind(task, outcome) for task, outcome in self._suspects}
        if self._succeeded or len(self._suspects) < _TELLING or len(kinds) > 1:
            return
        outcome = self._suspects[-1][1]
        raise StoppedError(
            f"stopped: the first {_TELLING} videos tried all failed alike, so the fault seems to "
            "lie with the set-up, not with them; none of them is passed over by the next run. "
            f"The last one: {outcome.problems[0]}\n{outcome.trace}".rstrip()
        )

    def _check_number(self) -> None:
        most = self._policy.max_failures
        if most is not None and self._failed > most:
            reasons = "".join(f"\n  {outcome.problems[0]}" for _, outcome in self._suspects)
            raise StoppedError(
                f"stopped: {self._failed} video(s) failed, and --max-failures allows {most}; what "
                "is extracted stays, the same command with a higher number continues"
                + (f". Not tried again:{reasons}" if reasons else "")
            )


def _kind(task: Task, outcome: Outcome) -> str:
    """A problem without what is particular to the video: paths, its id, numbers."""
    text = re.sub(r"\S*/\S*", "", outcome.problems[0])
    return re.sub(r"\d+", "", text.replace(task.video.id, ""))


def _explain(task: Task, death: Death, *, alone: bool) -> str:
    also = ", also when nothing else ran" if alone else ""
    if death.cause.startswith("timed out"):
        return (
            f"{task.video.path}: {death.cause}{also}; allow more with --time-limit if this machine "
            "is slow, otherwise convert the file, e.g. to H.264 in MP4, or leave it out"
        )
    if death.cause.startswith("it took"):
        return (
            f"{task.video.path}: {death.cause}{also}; allow more with --memory-limit, or leave the "
            "file out"
        )
    return (
        f"{task.video.path}: its worker process died ({death.cause}){also}; signal 9 mostly means "
        "that memory ran out, others a fault of a library on this file: convert the file, e.g. to "
        "H.264 in MP4, or leave it out"
    )
