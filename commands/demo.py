"""`vapipe demo`: the whole path on a synthetic data set, with the ordinary commands' code."""

from __future__ import annotations

import time
from itertools import count
from pathlib import Path

import click

from ..cache.durable import write_json
from ..errors import ConfigError
from .console import device_option, progress_lines
from .evaluate import show_evaluation
from .extract import extraction_settings, show_extraction
from .fit import fit_and_show
from .report import show_report

# Narrower networks and shorter steps than the papers': the data set is a thousandth of Aff-Wild2.
DEMO_FIT = {
    "tcn_channels": {"video": [128, 128, 64, 64], "audio": [64, 64, 64, 64]},
    "stride": 100,
    "batch": 6,
    "learning_rate": 5e-4,
    "warmup_epochs": 1,
    "epochs": 30,
    "patience": 8,
}


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="./vapipe-demo",
    show_default=True,
    help="Where the clips, the cache and the runs go; a new or empty folder, or an earlier demo.",
)
@click.option("--head", default="grjca", show_default=True, help="Fusion head.")
@click.option("--seed", default=0, show_default=True, help="Of the clips and of the fit.")
@device_option
def demo(folder: Path, head: str, seed: int, device: str) -> None:
    """Try everything on a small synthetic data set: extract, fit, evaluate, report.

    Needs no download and no data; takes a few minutes on two cores.
    """
    from ..cache.store import FeatureStore
    from ..extract.dataset import find_dataset
    from ..extract.options import choose_options
    from ..extract.synthetic.demo_set import DESCRIPTION, write_demo_set
    from ..fusion.config import FitConfig
    from ..fusion.evaluation.evaluate import evaluate
    from ..fusion.report import write_report

    began = time.perf_counter()
    videos, cache = folder / "videos", folder / "cache"
    click.echo(DESCRIPTION)
    with progress_lines(1, "writing clips") as step:
        done = 0.0

        def show(number: int, total: int) -> None:
            nonlocal done
            step(number / total - done, "", f"writing clips {number}/{total}")
            done = number / total

        paths = write_demo_set(videos, seed=seed, progress=show)
    click.echo(f"{len(paths)} clips written to {videos}\n")

    click.echo(f"$ vapipe extract --videos {videos} --cache {cache}")
    dataset = find_dataset(videos)
    settings, jobs = extraction_settings(
        cache, choose_options(None, None, None), "detect", device, None, dataset
    )
    _, failed = show_extraction(dataset, settings, jobs)
    if failed:
        raise ConfigError(f"{failed} demo clip(s) could not be extracted, see above")
    store = FeatureStore.open(cache)

    options = folder / "fit.json"
    write_json(options, DEMO_FIT)
    config = FitConfig.from_json({"head": head, "seed": seed, "device": device, **DEMO_FIT})
    run = _free_run(folder / "runs", head)
    click.echo(f"\n$ vapipe fit --head {head} --config {options} --cache {cache} --run {run}")
    fit_and_show(store, config, run)

    click.echo(f"\n$ vapipe evaluate {run} --cache {cache}")
    show_evaluation(evaluate(run, store, device=device))

    click.echo(f"\n$ vapipe report {run} --media {videos}")
    show_report(write_report([run], run / "report.html", media=videos))
    click.echo(f"\nthe demo took {time.perf_counter() - began:.0f} s; the data is synthetic")
    click.echo(
        "next: open the report in a browser; then one modality alone, for comparison\n"
        f"  vapipe fit --head concat --stream audio=logmel --config {options} --cache {cache}\n"
        f"  vapipe fit --head concat --stream video=onet --config {options} --cache {cache}"
    )


def _free_run(runs: Path, head: str) -> Path:
    """The first run folder of that head that does not exist."""
    return next(path for number in count(1) if not (path := runs / f"{head}-{number}").exists())
