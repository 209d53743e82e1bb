"""What a fit tells trackers beside metrics.jsonl, on request: TensorBoard, W&B, MLflow.

Where W&B and MLflow send it is said by their own environment variables (`WANDB_MODE`,
`MLFLOW_TRACKING_URI` ...). A run that is gone on with is the same run there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ...errors import ConfigError, MissingPackageError

Log = Callable[[dict[str, float], int], Any]  # scalars, and the number of epochs of all networks


@contextmanager
def _tensorboard(folder: Path, config: Mapping[str, Any], done: int) -> Iterator[Log]:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(folder / "tensorboard", purge_step=done + 1) as writer:
        yield lambda scalars, step: [writer.add_scalar(n, v, step) for n, v in scalars.items()]


@contextmanager
def _wandb(folder: Path, config: Mapping[str, Any], done: int) -> Iterator[Log]:
    import wandb

    settings = {"project": os.environ.get("WANDB_PROJECT", "vapipe"), "id": _identity(folder)}
    run = wandb.init(**settings, name=folder.name, resume="allow", dir=folder, config=config)
    code = 1
    try:
        yield lambda scalars, step: run.log(scalars, step=step)
        code = 0
    finally:
        run.finish(exit_code=code)


@contextmanager
def _mlflow(folder: Path, config: Mapping[str, Any], done: int) -> Iterator[Log]:
    import mlflow

    mark = f"tags.vapipe = '{_identity(folder)}'"
    begun = mlflow.search_runs(filter_string=mark, output_format="list")
    with mlflow.start_run(begun[0].info.run_id if begun else None, run_name=folder.name):
        if not begun:
            mlflow.set_tag("vapipe", _identity(folder))
            mlflow.log_params({name: str(value)[:500] for name, value in config.items()})
        yield lambda scalars, step: mlflow.log_metrics(scalars, step=step)


def _identity(folder: Path) -> str:
    return hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]


TRACKERS = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}


@contextmanager
def track(
    names: Sequence[str], folder: Path, config: Mapping[str, Any], done: int
) -> Iterator[Callable[[Sequence[Mapping[str, Any]]], None]]:
    """Open trackers for a run that has so many epochs; yields what is to be told every epoch.

    Raises:
        ConfigError: no such tracker, its package is not installed, or it cannot begin.
    """
    with ExitStack() as stack:
        logs = []
        for name in names:
            if name not in TRACKERS:
                raise ConfigError(f"no tracker `{name}`; there are: {', '.join(TRACKERS)}")
            try:
                logs.append(stack.enter_context(TRACKERS[name](folder, config, done)))
            except ImportError as error:
                raise MissingPackageError(f"--track {name}", error, name) from error
            except Exception as error:
                raise ConfigError(f"--track {name}: {error}") from error

        def tell(records: Sequence[Mapping[str, Any]]) -> None:
            last, ccc = records[-1], records[-1]["ccc"].items()
            scalars = {"loss": last["loss"], "learning rate": last["learning_rate"]}
            scalars |= {"validation loss": last["validation_loss"]}
            scalars |= {f"validation CCC/{target}": value for target, value in ccc}
            for log in logs:
                log({f"{last['network']}/{n}": v for n, v in scalars.items()}, len(records))

        yield tell
