"""What tries at videos come to: how they are described and logged, and when all are given up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..cache.catalog import Catalog
from ..errors import (
    DeviceError,
    DeviceLostError,
    DiskFullError,
    FileChangedError,
    MediaError,
    StoppedError,
    VapipeError,
    WriteVerificationError,
    counted,
)
from ..executor import Cause, Limits, TaskFailed
from .plan import length_of
from .runlog import Write
from .task import Outcome, Task

# So many first failures, all alike, are the set-up's and not the videos'; so many of the device,
# one after the other, are those of one that has to be mended.
_TELLING = 5
_TIME_FACTOR = 100.0  # seconds per second of video; far more than the slowest encoder needs


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
    """The limits of processes that extract."""
    factor = policy.time_limit or _TIME_FACTOR

    def seconds(task: Task) -> float:
        return policy.grace + factor * length_of(task, catalog)[0]

    return Limits(seconds, policy.memory_limit)


def may_pass(failure: TaskFailed) -> bool:
    """Whether another try may get through: the file itself is not at fault."""
    changed = isinstance(failure.error, FileChangedError)
    return changed or not isinstance(failure.error, MediaError)


def outcome_of(task: Task, answer: Outcome | TaskFailed) -> Outcome:
    """What came of a try."""
    if not isinstance(answer, TaskFailed):
        return answer
    reason, trace, fault = _explain(task, answer), answer.trace, "death"
    if answer.cause == Cause.ERROR:
        reason, trace, fault = str(answer.error), "", "set-up"
        if isinstance(answer.error, FileChangedError):
            fault = "changed"
        elif isinstance(answer.error, MediaError):
            fault = "media"
        elif isinstance(answer.error, DeviceError):
            fault = "device"
        elif isinstance(answer.error, WriteVerificationError):
            fault = "unexpected"
        elif not isinstance(answer.error, VapipeError):
            reason = f"{task.video.path}: unexpected {answer.reason}"
            trace, fault = answer.trace, "unexpected"
    return Outcome(
        task.video.id, "failed", problems=(reason,), trace=trace, fault=fault, peak=answer.peak
    )


class Attempts:
    """Counts and logs the tries of one run."""

    def __init__(self, policy: Policy, log: Write) -> None:
        """Nothing is tried yet."""
        self._policy, self._log = policy, log
        self._suspects: list[tuple[Task, Outcome]] = []
        self._failed = 0
        self._device_faults = set[str]()  # videos, since one was extracted
        self._succeeded = False

    def note(self, task: Task, answer: Outcome | TaskFailed, attempt: int) -> None:
        """Log a try.

        Raises:
            StoppedError: the disk is full, the policy allows no more failures, there were only
                failures of one kind, or the device fails at every video.
        """
        outcome = outcome_of(task, answer)
        speed = outcome.rows / outcome.seconds if outcome.seconds else 0.0
        self._log(
            "unit",
            video=outcome.video,
            streams=sorted(task.streams),
            attempt=attempt,
            outcome=outcome.status,
            rows=outcome.rows,
            duration=round(outcome.duration, 3),
            seconds=round(outcome.seconds, 3),
            frames_per_s=round(speed, 1),
            peak_bytes=outcome.peak,
            stages={name: round(spent, 3) for name, spent in outcome.stages.items()},
            problems=list(outcome.problems),
        )
        if isinstance(answer, TaskFailed) and isinstance(answer.error, DiskFullError):
            raise StoppedError.by(answer.error)
        if outcome.status == "extracted":
            self._succeeded, self._device_faults = True, set()
        elif outcome.fault == "device":
            # One fault of the device is felt by all who wait for it.
            if not isinstance(getattr(answer, "error", None), DeviceLostError):
                self._check_device(outcome)
        elif attempt == 1 and outcome.status == "failed":
            self._failed += 1
            if outcome.fault not in ("media", "changed"):
                self._suspects.append((task, outcome))
                self._check_set_up()
                self.check_number()

    def check_number(self) -> None:
        """Stop where more videos failed than the policy allows."""
        most = self._policy.max_failures
        if most is not None and self._failed > most:
            reasons = "".join(f"\n  {outcome.problems[0]}" for _, outcome in self._suspects)
            raise StoppedError(
                f"stopped: {counted(self._failed, 'video')} failed, and --max-failures "
                f"allows {most}; what is extracted stays, the same command with a higher number "
                "continues" + (f". Not tried again:{reasons}" if reasons else "")
            )

    def _check_device(self, outcome: Outcome) -> None:
        self._device_faults.add(outcome.video)
        if len(self._device_faults) == _TELLING:
            raise StoppedError(
                f"stopped: the device failed at {_TELLING} videos, one after the other; what is "
                "extracted stays, and none of them is passed over by the next run. The last one: "
                f"{outcome.problems[0]}"
            )

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


def _kind(task: Task, outcome: Outcome) -> str:
    """A problem without what is particular to the video: paths, its id, numbers."""
    text = re.sub(r"\S*/\S*", "", outcome.problems[0])
    return re.sub(r"\d+", "", text.replace(task.video.id, ""))


def _explain(task: Task, failure: TaskFailed) -> str:
    also = ", also when nothing else ran" if failure.attempts > 1 else ""
    path, reason = task.video.path, failure.reason
    if failure.cause == Cause.TIME:
        return (
            f"{path}: {reason}{also}; allow more with --time-limit if this machine is slow, "
            "otherwise convert the file, e.g. to H.264 in MP4, or leave it out"
        )
    if failure.cause == Cause.MEMORY:
        return f"{path}: {reason}{also}; allow more with --memory-limit, or leave the file out"
    return (
        f"{path}: its worker process died ({reason}){also}; signal 9 mostly means that memory ran "
        "out, others a fault of a library on this file: convert the file, e.g. to H.264 in MP4, or "
        "leave it out"
    )
