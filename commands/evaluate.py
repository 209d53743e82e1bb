"""`vapipe evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import cache_option, device_option

if TYPE_CHECKING:
    from ..fusion.scoring import Evaluation


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the concordances of a partition."""
    scores = "  ".join(f"{target} {value:.3f}" for target, value in evaluation.ccc.items())
    frames = max(evaluation.frames.values())
    click.echo(
        f"CCC on {evaluation.partition} ({len(evaluation.predictions)} videos, "
        f"{frames:,} annotated frames): {scores}"
    )


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--partition",
    type=click.Choice(["train", "validation", "test"]),
    default="validation",
    show_default=True,
)
@click.option("--per-video", is_flag=True, help="Print the CCCs of each video too, worst first.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write the per-frame predictions and the result into.",
)
@cache_option
@device_option
def evaluate(
    run: Path,
    partition: str,
    per_video: bool,
    as_json: bool,
    out: Path | None,
    cache: Path,
    device: str,
) -> None:
    """Compare the predictions of the run folder RUN, frame by frame, with the annotation."""
    from ..cache.store import FeatureStore
    from ..fusion.evaluate import evaluate as measure

    evaluation = measure(run, FeatureStore.open(cache), partition=partition, device=device, out=out)
    if as_json:
        click.echo(json.dumps(evaluation.to_json(), indent=2))
        return
    show_evaluation(evaluation)
    if per_video:
        for video, scores in sorted(
            evaluation.per_video.items(), key=lambda entry: sum(c or 0 for c in entry[1].values())
        ):
            words = (
                f"{t} {'not annotated' if c is None else f'{c:.3f}'}" for t, c in scores.items()
            )
            click.echo(f"  {video}: {'  '.join(words)}")
