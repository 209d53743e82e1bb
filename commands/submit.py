"""`vapipe submit`: the text file that a challenge takes."""

from __future__ import annotations

from pathlib import Path

import click

from .console import (
    cache_option,
    device_option,
    ensemble_option,
    show_shares,
    smooth_option,
)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--sample",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The organisers' sample file: it says which rows, in which order.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A new file."
)
@click.option(
    "--pad",
    type=click.Choice(["last"]),
    help="Fill rows beyond a video's last frame (up to 5) with its last prediction.",
)
@click.option(
    "--cut",
    type=click.Choice(["last"]),
    help="Leave out frames (up to 5) beyond the sample's last row of a video.",
)
@ensemble_option(default="mean")
@smooth_option
@cache_option
@device_option
def submit(
    runs: tuple[Path, ...],
    sample: Path,
    out: Path,
    pad: str | None,
    cut: str | None,
    ensemble: str,
    smooth: float,
    cache: Path,
    device: str,
) -> None:
    """Write a submission with the run folder RUNS; of several, the mean, or another --ensemble.

    Items of the cache are found by the names in the sample file, and need no annotation. Lengths
    must match exactly unless --pad or --cut allows little else. Values are clipped to [-1, 1].
    """
    from ..cache.store import FeatureStore
    from ..fusion.evaluation.ensemble import ensemble_weights, name_shares
    from ..fusion.evaluation.predict import load_runs, predict_items
    from ..fusion.evaluation.submission import (
        check_sample,
        read_sample,
        require_new,
        write_submission,
    )

    require_new(out)
    store = FeatureStore.open(cache)
    wanted = read_sample(sample)
    fits = check_sample(wanted, store, pad=bool(pad), cut=bool(cut))
    loaded = load_runs(runs, device)
    weights = ensemble_weights(ensemble, {n: r.path for n, r in loaded.items()}, store, smooth)
    predictions = predict_items(loaded, store, list(fits), weights=weights, smoothing=smooth)
    clipped = write_submission(out, wanted, predictions)
    for video, fit in fits.items():
        surplus = fit.last - fit.rows
        if surplus > 0:
            click.echo(f"  {video}: {surplus} row(s) after frame {fit.rows} hold its prediction")
        elif surplus < 0:
            click.echo(f"  {video}: the last {-surplus} of {fit.rows} frames are left out")
        if fit.left_out:
            click.echo(f"  {video}: the sample skips {fit.left_out} frame(s)")
    if len(loaded) > 1:
        show_shares(name_shares(loaded, weights))
    rows = sum(len(each.frames) for each in wanted)
    click.echo(
        f"{out}: {rows:,} rows of {len(fits)} videos, {clipped:,} value(s) clipped to [-1, 1]"
    )
    others = len(set(store.videos()) - set(fits))
    if others:
        click.echo(f"{others} other item(s) of {store.root} are not in the sample file")
