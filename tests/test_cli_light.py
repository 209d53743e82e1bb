"""Light commands, and errors about mistyped paths, answer without loading torch."""

import subprocess
import sys

import pytest
from extracted import cache as cache
from extracted import runs as runs
from extracted import videos as videos

PROGRAM = """
import contextlib, io, sys
from vapipe.cli import main
for words in {commands!r}:
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            main(words)
        except SystemExit as ended:
            code = ended.code
    heavy = sorted({{"torch", "facenet_pytorch", "librosa"}} & set(sys.modules))
    print(code, heavy, said.getvalue().strip().splitlines()[-1:], *words, sep="|")
"""
MISTYPED = [
    "runs nowhere",
    "evaluate nowhere",
    "predict nowhere",
    "predict nowhere clip.mp4",
    "predict {run} nowhere.mp4",
    "report nowhere",
    "figure nowhere --out f.png",
    "export nowhere --to onnx",
    "submit nowhere --sample sample.txt --out o.txt",
    "fit --cache nowhere",
    "fit --resume nowhere",
    "fit --config nowhere.toml",
    "sweep --heads grjca --cache nowhere",
    "extract --videos nowhere",
    "heads nowhere",
    "fit --print-config --head nowhere",
    "fit --print-config --set nowhere=1",
    "fit --cache {cache} --head nowhere",
    "fit --cache {cache} --set head_options.nowhere=1",
    "sweep --cache {cache} --heads concat,nowhere",
    "extract --videos {videos} --streams nowhere",
    "plan --videos nowhere",
    "slurm f.sh --videos nowhere",
    "labels import nowhere --videos nowhere --cache {cache}",
    "labels show --cache nowhere",
    "status --cache nowhere",
    "cache status --cache nowhere",
    "cache verify --cache nowhere",
    "cache report --cache nowhere",
    "cache pack --cache nowhere",
    "cache gc --cache nowhere",
]
LIGHT = [
    "--help",
    "--version",
    "heads",
    "heads grjca",
    "fit --print-config",
    "fit --print-config --head tagf --recipe published",
    "streams",
    "weights list",
    "runs {runs}",
    "cache status --cache {cache}",
    "status --cache {cache}",
    "labels show --cache {cache}",
    "plan --videos {videos} --cache {cache}",
]


@pytest.mark.parametrize(("commands", "codes"), [(MISTYPED, {1, 2}), (LIGHT, {0})])
def test_torch_is_not_loaded(commands, codes, cache, runs, videos, tmp_path):
    (tmp_path / "sample.txt").write_text("")
    places = {"run": runs / "one", "runs": runs, "cache": cache, "videos": videos}
    words = [command.format(**places).split() for command in commands]
    shown = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(commands=words)],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    lines = [line.split("|") for line in shown.stdout.splitlines()]
    assert len(lines) == len(commands)
    for code, heavy, said, *own in lines:
        assert int(code) in codes, (own, said)
        assert heavy == "[]", own
        assert codes == {0} or "nowhere" in said, own
