"""What computes on the pretended device, beside the CPU; prints it as JSON.

A program of its own, since the device changes torch for the whole process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from fusion_caches import write_planted
from pretend import DEVICE, counted, pretending

from vapipe import device_check
from vapipe.demo.face import load_portrait
from vapipe.extract.encoders import list_encoders
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.faces.detector import FaceDetector
from vapipe.fusion import FitConfig, fit, list_heads
from vapipe.fusion.training.trainer import Trainer

Found = dict[str, Any]
ON_CPU = {"egemaps", "mfcc", "vad"}  # everywhere: other packages compute them


def check_encoders(folder: Path) -> Iterator[Found]:
    """How far each is from the CPU, and how often device and host meet in a call."""
    device_check.CROPS, device_check.SECONDS = 3, 1.0
    for name in sorted(set(list_encoders()) - ON_CPU):
        options, _ = device_check._options(name, folder)
        load = device_check.encoder_options(name, options).load
        wanted = device_check.encode_sample(load("cpu"))
        encoder = load(str(DEVICE))
        given, counts = counted(lambda encoder=encoder: device_check.encode_sample(encoder))
        yield {
            "what": f"encoder {name}",
            "difference": device_check._difference(wanted, given),
            **counts,
        }


def check_detector() -> Found:
    """And how often device and host meet in a search of a batch."""
    difference, _, remark = device_check._check_detector(DEVICE)
    crops = CropConfig()
    detector = FaceDetector(min_face=crops.min_face, thresholds=crops.thresholds, device=DEVICE)
    picture = np.ascontiguousarray(load_portrait()[:480:2, :480:2])
    detector.detect([picture] * 8)
    _, counts = counted(lambda: detector.detect([picture] * 8))
    return {"what": "detector", "difference": difference, "remark": remark, **counts}


def check_heads() -> Iterator[Found]:
    device_check.LENGTH = 24
    for name in list_heads():
        difference, _, _ = device_check._check_head(name, DEVICE)
        yield {"what": f"head {name}", "difference": difference}


def check_fit(folder: Path) -> Found:
    """A fit and its predictions in either place, and the meetings per training step."""
    store = write_planted(folder / "cache")
    config = FitConfig(
        streams={"video": "onet", "audio": "logmel"},
        window=50,
        stride=40,
        batch=4,
        epochs=2,
        hidden=8,
        targets="joint",
        tcn_channels={"video": (8,), "audio": (8,)},
        device="cpu",
    )
    train, steps = Trainer.train_epoch, [{}]

    def counting(trainer: Trainer, epoch: int) -> Any:
        answer, counts = counted(lambda: train(trainer, epoch))
        steps.append({what: count / trainer.steps for what, count in counts.items()})
        return answer

    Trainer.train_epoch = counting
    places = (config, replace(config, device="pretend:0"))
    cpu, device = (fit(store, each, folder / each.device) for each in places)
    both = [np.concatenate(list(each.evaluation.predictions.values())) for each in (cpu, device)]
    losses = [np.array([epoch.loss for epoch in each.epochs]) for each in (cpu, device)]
    return {
        "what": "fit",
        "difference": device_check._difference(*both),
        "losses": device_check._difference(*losses),
        **steps[-1],
    }


def check_mixing() -> Found:
    try:
        torch.ones(2).to(DEVICE) + torch.ones(2)
    except RuntimeError as error:
        return {"what": "mixing", "error": str(error)}
    return {"what": "mixing", "error": ""}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder, pretending():
        print(json.dumps(check_mixing()), flush=True)
        for found in check_encoders(Path(folder)):
            print(json.dumps(found), flush=True)
        print(json.dumps(check_detector()), flush=True)
        for found in check_heads():
            print(json.dumps(found), flush=True)
        print(json.dumps(check_fit(Path(folder))), flush=True)
