"""TensorBoard events beside metrics.jsonl, on request."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError


class TensorboardWriter:
    """Writes the epochs of a run to its folder `tensorboard`; the step counts all epochs."""

    def __init__(self, folder: Path, records: Sequence[dict[str, Any]]) -> None:
        """Open the folder of a run that has these records; later events there are dropped."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "--tensorboard needs the package tensorboard: pip install 'vapipe[tensorboard]'"
            ) from error
        self.writer = SummaryWriter(folder / "tensorboard", purge_step=len(records) + 1)

    def write(self, records: Sequence[dict[str, Any]]) -> None:
        """Write the last of the records."""
        record = records[-1]
        scalars = {
            "loss": record["loss"],
            "learning rate": record["learning_rate"],
            **{f"validation CCC/{target}": value for target, value in record["ccc"].items()},
        }
        for name, value in scalars.items():
            self.writer.add_scalar(f"{record['network']}/{name}", value, len(records))
        self.writer.flush()

    def close(self) -> None:
        """Close the files."""
        self.writer.close()
