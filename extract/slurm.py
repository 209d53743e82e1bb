"""Writes the batch file of a SLURM array whose tasks each extract one part of the videos."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

_SCRIPT = """\
#!/bin/bash
# Extracts {count} parts side by side; submit it again, and it does what is missing.
#SBATCH --job-name=vapipe-extract
#SBATCH --array=1-{count}
#SBATCH --cpus-per-task={cpus}
#SBATCH --mem={memory}G
#SBATCH --time=24:00:00
#SBATCH --output=vapipe-%A_%a.log
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
# What your site asks for, without the second #:
##SBATCH --partition=NAME
##SBATCH --account=NAME
{gpu}# Two minutes before its time is over a task is told to end; what it has finished stays.

cd {folder} || exit 1
export PATH={programs}:"$PATH"  # the environment that vapipe is installed in
exec srun {command} --partition "$SLURM_ARRAY_TASK_ID/{count}"
"""


def slurm_script(command: Sequence[str], *, count: int, jobs: int, gpus: int, folder: Path) -> str:
    """The text of a batch file.

    Args:
        command: `vapipe extract` with its options, without `--partition`.
        count: array tasks, one part of the videos each.
        jobs: processes of a task.
        gpus: GPUs of a task; each has a process of its own beside the others.
        folder: where the command is run, so that its relative paths hold.
    """
    return _SCRIPT.format(
        count=count,
        cpus=jobs + gpus,
        memory=4 * max(jobs, 2) if not gpus else 8 * gpus + 2 * jobs,
        gpu=f"#SBATCH --gres=gpu:{gpus}\n" if gpus else "",
        programs=shlex.quote(str(Path(sys.executable).parent)),
        folder=shlex.quote(str(folder)),
        command=shlex.join(command),
    )
