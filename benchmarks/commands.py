"""How soon light commands answer, as ratios to `python -c "import torch"`.

Run `vapipe demo` first, then `python benchmarks/commands.py vapipe-demo`. Each command is a process
of its own; the best of some rounds counts, taken in turns: a noisy minute hits all alike.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

COMMANDS = (
    "--version",
    "--help",
    "heads",
    "heads grjca",
    "heads grcja",
    "streams",
    "weights list",
    "fit --print-config",
    "fit --head tagf --recipe published --print-config",
    "fit --head grcja --cache DEMO/cache",
    "fit --set bacth=3 --cache DEMO/cache",
    "fit --cache nowhere",
    "sweep --heads grcja --cache DEMO/cache",
    "evaluate nowhere",
    "predict nowhere clip.mp4",
    "runs DEMO/runs",
    "cache status --cache DEMO/cache",
    "status --cache DEMO/cache",
    "labels show --cache DEMO/cache",
    "plan --videos DEMO/videos --cache DEMO/cache",
    "extract --videos nowhere",
    "extract --videos DEMO/videos --streams grcja",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("demo", help="folder that `vapipe demo` made")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    start = [sys.executable, "-c", "import sys; from vapipe.cli import main; sys.exit(main())"]
    commands = {words: [*start, *words.replace("DEMO", options.demo).split()] for words in COMMANDS}
    commands = {"": [sys.executable, "-c", "import torch"], **commands}
    times: dict[str, list[float]] = {words: [] for words in commands}
    for _ in range(options.rounds):
        for words, command in commands.items():
            before = time.perf_counter()
            subprocess.run(command, capture_output=True, check=False)
            times[words].append(time.perf_counter() - before)
    torch = min(times.pop(""))
    print(f"| command | seconds | ratio to `import torch` ({torch:.2f} s) |\n|---|---|---|")
    for words, taken in times.items():
        print(f"| `vapipe {words}` | {min(taken):.2f} | {min(taken) / torch:.2f} |")


if __name__ == "__main__":
    main()
