"""`vapipe export`: a run for other programs, or for other people."""

from __future__ import annotations

from pathlib import Path

import click

from .console import say


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(["onnx", "huggingface"]),
    help="A file for ONNX runtimes, or a folder in the Hugging Face layout.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="The file or folder [default: RUN/model.onnx, or the run's name with -huggingface].",
)
def export(run: Path, form: str, out: Path | None) -> None:
    """Write the trained network of RUN in another form.

    onnx: one file, compared with torch in onnxruntime before it is written. huggingface: a folder
    with model card, configuration and weights to upload, which `vapipe predict` takes as a run.
    Features of a cache are exported by `vapipe cache export`.
    """
    from ..fusion.runs.recorded import require_run

    require_run(run)

    from ..fusion.runs.folder import load_run  # torch, once the arguments are sound

    loaded = load_run(run, "cpu")
    if form == "huggingface":
        from ..fusion.runs.share import write_huggingface

        folder = out or Path(f"{run.resolve().name}-huggingface")
        say(f"{folder}: {', '.join(write_huggingface(loaded, folder))}")
        return
    from ..fusion.runs.onnx_file import LIMIT, OPSET, write_onnx

    written = write_onnx(loaded, out or run / "model.onnx")
    say(f"{written.path}: opset {OPSET}, float32, frames per second {written.fps}")
    for name, shape in written.inputs.items():
        say(f"  {name} [{', '.join(map(str, shape))}]")
    say(f"differs from torch by at most {written.difference:.1e} (limit {LIMIT:g})")
