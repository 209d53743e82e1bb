"""Times extraction against the obvious way: the same streams of the same clips, whole wall time.

The obvious way: facenet-pytorch's MTCNN with its defaults on every full-size frame, ResNet-50 in
float32 at 224 pixels per face, VGGish per frame, WavLM on the whole sound, .npy files; torch uses
all cores. Weights are generated; speed does not depend on them. Each part runs in a fresh process.
Run: `python benchmarks/extract.py CLIPS... --seconds 4`, some 10 min.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as vapipe does, before torch loads

import av
import numpy as np
import torch
from PIL import Image

from vapipe.cache.timeline import usable
from vapipe.extract.dataset import Subject, find_dataset
from vapipe.extract.encoders import VisualEncoder
from vapipe.extract.encoders.vggish_patches import LENGTH, VGGishPatches
from vapipe.extract.faces.crops import CropConfig, read_crops
from vapipe.extract.media.audio import read_audio
from vapipe.extract.media.probe import probe
from vapipe.extract.networks.vggish import VGGish
from vapipe.extract.options import StreamConfig
from vapipe.extract.run import load_streams, run_extraction
from vapipe.extract.spec import make_specs
from vapipe.extract.task import Settings

CROPS = CropConfig(size=224)
STREAMS = ("resnet50", "vggish", "wavlm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="*", help="videos")
    parser.add_argument("--seconds", type=float, default=4.0, help="of every clip, from its start")
    parser.add_argument("--streams", default=",".join(STREAMS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes of vapipe")
    parser.add_argument("--part", choices=PARTS, help="run one part in this process")
    parser.add_argument("--folder", type=Path, help="clips and weights, made by the benchmark")
    options = parser.parse_args()
    streams = options.streams.split(",")
    if options.part:
        print(json.dumps(PARTS[options.part](options.folder, streams, options.jobs)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = sum(cut(clip, folder / "clips", options.seconds) for clip in options.clips)
        save_weights(folder, streams)
        print(f"{len(options.clips)} clips, {rows} frames, {os.cpu_count()} cores, {streams}")
        walls = {}
        runs = [("vapipe", jobs) for jobs in sorted({1, options.jobs})]
        for part, jobs in [*runs, ("stages", 1), ("encoders", 1), ("obvious", 1)]:
            command = [sys.executable, __file__, "--part", part, "--folder", name]
            command += ["--streams", options.streams, "--jobs", str(jobs)]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            result = json.loads(done.stdout.splitlines()[-1])
            result["cpu"] = _processor(after) - _processor(before)
            walls[part, jobs] = result["wall"]
            print(part, jobs, {k: round(v, 2) for k, v in result.items()}, flush=True)
            shutil.rmtree(folder / "cache", ignore_errors=True)
        for run in runs:
            print(f"obvious / vapipe {run[1]}: {walls['obvious', 1] / walls[run]:.1f}")
        alone, whole = walls["encoders", 1], walls["stages", 1]
        print(f"encoders alone / one process, networks loaded before: {alone / whole:.2f}")


def _processor(usage: resource.struct_rusage) -> float:
    """Processor seconds, start-up included; they say more than wall time on a busy machine."""
    return usage.ru_utime + usage.ru_stime


def cut(clip: Path, folder: Path, seconds: float) -> int:
    """Copy the beginning of a clip, packets as they are; returns its number of frames."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{clip.stem}.mkv"
    with av.open(str(clip)) as source, av.open(str(path), "w") as file:
        streams = [source.streams.best(kind) for kind in ("video", "audio")]
        copies = {s.index: file.add_stream_from_template(s) for s in streams}
        for packet in source.demux(streams):
            if packet.size and packet.pts is not None and packet.pts * packet.time_base < seconds:
                packet.stream = copies[packet.stream.index]
                file.mux(packet)
    return len(probe(path).timeline)


def save_weights(folder: Path, streams: list[str]) -> None:
    """Files in the layout of the public ones."""
    from torchaudio.models import wavlm_base
    from torchvision.models import resnet50

    torch.manual_seed(0)
    builders = {"resnet50": resnet50, "vggish": VGGish, "wavlm": wavlm_base}
    for name in streams:
        torch.save(builders[name]().state_dict(), folder / f"{name}.pth")


def settings(folder: Path, streams: list[str], cache: str) -> Settings:
    # In float32, as generated weights may exceed float16.
    configs = [
        StreamConfig(name, name, (("weights", str(folder / f"{name}.pth")),), "float32")
        for name in streams
    ]
    return Settings(folder / cache, make_specs(configs, CROPS))


def vapipe(folder: Path, streams: list[str], jobs: int) -> dict[str, float]:
    """Wall time of a whole extraction, loading of networks included."""
    began = time.perf_counter()
    dataset = find_dataset(folder / "clips")
    for outcome in run_extraction(dataset, settings(folder, streams, "cache"), jobs=jobs):
        if outcome.status != "extracted":
            raise SystemExit(f"{outcome.problems}{outcome.trace}")
    return {"wall": time.perf_counter() - began}


def stages(folder: Path, streams: list[str], jobs: int) -> dict[str, float]:
    """One process: wall time less loading, and seconds of each stage (they overlap)."""
    chosen = settings(folder, streams, "cache1")
    load_streams(chosen)  # imports what networks need
    began = time.perf_counter()
    load_streams.cache_clear()
    load_streams(chosen)
    loading = time.perf_counter() - began
    spent: Counter[str] = Counter()
    began = time.perf_counter()
    for outcome in run_extraction(find_dataset(folder / "clips"), chosen, jobs=jobs):
        if outcome.status != "extracted":
            raise SystemExit(f"{outcome.problems}{outcome.trace}")
        spent.update(outcome.stages)
    return {"wall": time.perf_counter() - began, "loading": loading, **spent}


def encoders(folder: Path, streams: list[str], jobs: int) -> dict[str, float]:
    """Wall time of the encoders alone, on crops and sound that wait in memory."""
    torch.set_num_threads(1)
    chosen = settings(folder, streams, "none")
    bound = load_streams(chosen)
    spent: dict[str, float] = defaultdict(float)
    for path in sorted((folder / "clips").iterdir()):
        info = probe(path)
        batches = [
            batch.crops["face"][usable(batch.codes["face"])]
            for batch in read_crops(info, CROPS, [Subject("face")])
        ]
        blocks = list(read_audio(info))
        for stream in bound:
            began = time.perf_counter()
            if isinstance(stream.encoder, VisualEncoder):
                for batch in batches:
                    if len(batch):
                        stream.encoder.encode(batch, margin=CROPS.face_margin)
            else:
                list(stream.encoder.encode(blocks, info.timeline))
            spent[stream.spec.stream] += time.perf_counter() - began
    return {"wall": sum(spent.values()), **spent}


@torch.inference_mode()
def obvious(folder: Path, streams: list[str], jobs: int) -> dict[str, float]:
    """Wall time of the obvious way and of its parts."""
    from facenet_pytorch import MTCNN
    from torchaudio.models import wavlm_base
    from torchvision.models import resnet50

    spent: dict[str, float] = defaultdict(float)
    started = time.perf_counter()
    networks = {}
    for name, builder in {"resnet50": resnet50, "vggish": VGGish, "wavlm": wavlm_base}.items():
        if name in streams:
            networks[name] = builder().eval()
            networks[name].load_state_dict(torch.load(folder / f"{name}.pth"))
    if "resnet50" in streams:
        networks["resnet50"].fc = torch.nn.Identity()
    mtcnn, patches = MTCNN(), VGGishPatches(torch.device("cpu"))
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    for path in sorted((folder / "clips").iterdir()):
        features: dict[str, list[np.ndarray]] = defaultdict(list)
        pts = []
        with av.open(str(path)) as container:
            frames = container.decode(video=0)
            while True:
                began = time.perf_counter()
                frame = next(frames, None)
                if frame is None:
                    break
                pts.append(frame.time)
                if "resnet50" not in streams:
                    continue
                image = Image.fromarray(frame.to_ndarray(format="rgb24"))
                spent["decoding"] += time.perf_counter() - began
                began = time.perf_counter()
                boxes, _ = mtcnn.detect(image)
                spent["detection"] += time.perf_counter() - began
                began = time.perf_counter()
                vector = np.zeros(2048, np.float32)
                if boxes is not None:
                    face = image.crop(tuple(map(int, boxes[0]))).resize((224, 224))
                    pixels = torch.from_numpy(np.array(face)).permute(2, 0, 1) / 255
                    vector = networks["resnet50"](((pixels - mean) / std)[None])[0].numpy()
                features["resnet50"].append(vector)
                spent["resnet50"] += time.perf_counter() - began
        sound = whole_sound(path)
        if "vggish" in streams:
            began = time.perf_counter()
            padded = np.pad(sound, LENGTH)
            for moment in pts:
                start = int(moment * 16000) - LENGTH // 2 + LENGTH
                start = min(max(0, start), len(padded) - LENGTH)
                patch = patches(padded[start : start + LENGTH], np.zeros(1, int))
                features["vggish"].append(networks["vggish"](patch[:, None])[0].numpy())
            spent["vggish"] += time.perf_counter() - began
        if "wavlm" in streams:
            began = time.perf_counter()
            layers, _ = networks["wavlm"].extract_features(torch.from_numpy(sound)[None])
            steps = layers[-1][0].numpy()
            nearest = np.minimum(np.round(np.array(pts) * 50).astype(int), len(steps) - 1)
            features["wavlm"] = list(steps[nearest])
            spent["wavlm"] += time.perf_counter() - began
        for name, values in features.items():
            np.save(folder / f"{path.stem}-{name}.npy", np.stack(values))
    return {"wall": time.perf_counter() - started, **spent}


def whole_sound(path: Path) -> np.ndarray:
    """All sound at 16 kHz, as FFmpeg resamples it."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16000)
    with av.open(str(path)) as container:
        parts = [r for frame in container.decode(audio=0) for r in resampler.resample(frame)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])


PARTS = {"vapipe": vapipe, "stages": stages, "encoders": encoders, "obvious": obvious}

if __name__ == "__main__":
    main()
