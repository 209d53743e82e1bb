"""Compares a device with the CPU: encoders, heads, and detection beside a running encoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn

from .cache.timeline import Timeline
from .demo.face import load_portrait
from .device import choose_device
from .device_faults import device_errors
from .errors import MissingPackageError, VapipeError, WeightsError
from .extract.encoders import Encoder, VisualEncoder, encoder_options, list_encoders
from .extract.faces.crop_config import CropConfig
from .extract.faces.detector import FaceDetector
from .extract.media.audio import RATE, AudioBlock
from .extract.networks.architectures import ARCHITECTURES
from .extract.weights.files import all_entries
from .fusion import create_head, describe_head, list_heads
from .numerics import reproducibly

_LARGEST = 1e-3  # difference, as a part of the largest value; sums in another order give 1e-5
CROPS, SECONDS, LENGTH, WIDTH = 16, 3.0, 100, 32  # of samples for encoders and heads


@dataclass(frozen=True)
class Comparison:
    """What was compared, and how it went.

    Attributes:
        what: "encoder resnet50", "head grjca", "detector".
        difference: the largest, as a part of the largest value; None where it could not compute.
        speed: rows (of heads: steps) per second on the device.
        remark: what to bear in mind, or why it could not compute.
        installed: whether the packages that it needs are.
    """

    what: str
    difference: float | None
    speed: float = 0.0
    remark: str = ""
    installed: bool = True

    @property
    def agrees(self) -> bool:
        """Whether device and CPU give the same but for rounding."""
        return self.difference is not None and self.difference <= _LARGEST


def check_device(device: str) -> Iterator[Comparison]:
    """Compare one thing after the other, in float32.

    Raises:
        ConfigError: no such device.
        DeviceError: it fails.
    """
    place = choose_device(device)
    with device_errors(str(place)):
        with TemporaryDirectory(prefix="vapipe-check-") as folder:
            for name in list_encoders():
                yield _judged(f"encoder {name}", lambda: _check_encoder(name, place, Path(folder)))  # noqa: B023
        yield _judged("detector", lambda: _check_detector(place))
        for name in list_heads():
            yield _judged(f"head {name}", lambda: _check_head(name, place))  # noqa: B023


def _judged(what: str, check: Callable[[], tuple[float, float, str]]) -> Comparison:
    try:
        return Comparison(what, *check())
    except MissingPackageError as error:
        return Comparison(what, None, remark=str(error), installed=False)
    except VapipeError as error:
        return Comparison(what, None, remark=str(error))


def _check_encoder(name: str, device: torch.device, folder: Path) -> tuple[float, float, str]:
    options, remark = _options(name, folder)
    encoders = [encoder_options(name, options).load(str(place)) for place in ("cpu", device)]
    wanted, given = (encode_sample(each) for each in encoders)
    began = time.perf_counter()
    encode_sample(encoders[1])
    return _difference(wanted, given), len(given) / (time.perf_counter() - began), remark


def encode_sample(encoder: Encoder) -> np.ndarray:
    """Features of coarse noise, or of a rising tone in noise."""
    if isinstance(encoder, VisualEncoder):
        return encoder.encode(_pictures(CROPS, 112))
    time_s = np.arange(int(SECONDS * RATE)) / RATE
    noise = np.random.default_rng(0).normal(0, 0.01, len(time_s))
    sound = (0.3 * np.sin(2 * np.pi * (200 + 300 * time_s) * time_s) + noise).astype(np.float32)
    timeline = Timeline(np.arange(int(SECONDS * 25)) / 25, 25.0)
    return np.concatenate([rows for rows, _ in encoder.encode([AudioBlock(0, sound)], timeline)])


def _options(name: str, folder: Path) -> tuple[dict[str, Any], str]:
    """Options that load here; with generated weights where there are none."""
    options: dict[str, Any] = {}
    made = encoder_options(name, options)
    if "precision" in made.__dataclass_fields__:
        options["precision"] = "float32"
    try:
        made.weights_files()
        return options, ""
    except WeightsError:
        entries = all_entries()
        default = getattr(made, "weights", None) or f"{name}-{getattr(made, 'size', '')}"
        if default not in entries:
            raise
    torch.manual_seed(0)
    architecture = entries[default].architecture
    path = folder / f"{architecture}.pt"
    torch.save(ARCHITECTURES[architecture]().state_dict(), path)
    return {**options, "weights": str(path)}, "generated weights"


def _check_detector(device: torch.device) -> tuple[float, float, str]:
    """Boxes beside those of the CPU; beside a running encoder, the same bytes as alone."""
    crops = CropConfig()
    try:
        head = load_portrait()[:480:2, :480:2]
    except MissingPackageError:
        head = _pictures(1, 240)[0]
    pictures = [np.roll(head, 8 * shift, axis=1) for shift in range(8)]
    cpu, detector = (
        FaceDetector(min_face=crops.min_face, thresholds=crops.thresholds, device=place)
        for place in ("cpu", device)
    )
    wanted, alone = search(cpu, pictures), search(detector, pictures)
    began = time.perf_counter()
    search(detector, pictures)
    speed = len(pictures) / (time.perf_counter() - began)
    encoder, stop = encoder_options("onet", {}).load(str(device)), threading.Event()

    def encode() -> None:
        while not stop.is_set():
            encode_sample(encoder)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(encode)
        try:
            beside = [search(detector, pictures) for _ in range(3)]
        finally:
            stop.set()
        running.result()
    if any(each.tobytes() != alone.tobytes() for each in beside):
        return np.inf, speed, "other boxes beside a running encoder than alone"
    if wanted.shape != alone.shape:
        return np.inf, speed, f"{len(alone)} faces, on the CPU {len(wanted)}"
    return _difference(wanted, alone), speed, "the same beside a running encoder"


def search(detector: FaceDetector, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The boxes of all pictures, and those of a second look near the middle of each."""
    near = [np.array([0.3, 0.2, 0.6, 0.6])] * len(pictures)
    found = [*detector.detect(pictures), detector.refine(pictures, near)]
    return np.concatenate([each.boxes for each in found])


def _check_head(name: str, device: torch.device) -> tuple[float, float, str]:
    torch.manual_seed(0)
    roles = ["video", "audio", "audio2"][: max(2, describe_head(name).min_streams)]
    head = create_head(name, dict.fromkeys(roles, WIDTH), length=LENGTH).eval()
    streams = {role: torch.randn(4, LENGTH, WIDTH) for role in roles}
    mask = torch.ones(4, LENGTH, dtype=torch.bool)
    mask[1, LENGTH // 2 :] = False

    def step(head: nn.Module, place: torch.device) -> list[np.ndarray]:
        """The output, and all gradients."""
        given = {role: x.detach().to(place).requires_grad_() for role, x in streams.items()}
        out = head(given, mask.to(place))
        head.zero_grad()
        out.backward(torch.linspace(-1, 1, out.numel()).view(out.shape).to(place))
        roots = [*given.values(), *head.parameters()]
        grads = torch.cat([x.grad.flatten() for x in roots if x.grad is not None])
        return [out.detach().cpu().numpy(), grads.cpu().numpy()]

    with reproducibly(device):
        wanted = step(head, torch.device("cpu"))
        moved = head.to(device)
        given = step(moved, device)
        began = time.perf_counter()
        step(moved, device)
    speed = 1 / (time.perf_counter() - began)
    return max(map(_difference, wanted, given)), speed, "with gradients"


def _pictures(count: int, side: int) -> np.ndarray:
    """Coarse noise, [count, side, side, 3] uint8."""
    fields = np.random.default_rng(0).integers(0, 256, (count, side // 8, side // 8, 3), np.uint8)
    return fields.repeat(8, axis=1).repeat(8, axis=2)


def _difference(wanted: np.ndarray, given: np.ndarray) -> float:
    return float(np.abs(given - wanted).max() / max(np.abs(wanted).max(), 1e-30))
