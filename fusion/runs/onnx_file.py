"""A run's network as an ONNX file, compared with torch before it is written."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...cache.durable import write_bytes
from ...cache.store import FeatureStore
from ...errors import CacheError, ConfigError, MissingPackageError
from ..heads import describe_head
from ..models.network import Model
from .folder import Run
from .recorded import recorded

OPSET = 18
LIMIT = 1e-4


@dataclass(frozen=True)
class OnnxFile:
    """What was written.

    Attributes:
        inputs: name -> shape; dimensions without a number are free.
        difference: the largest one between onnxruntime and torch over all inputs tried.
        fps: frame rates of the training items in hertz, or why they are not known.
    """

    path: Path
    inputs: dict[str, list[str | int]]
    difference: float
    fps: str


class _Flat(nn.Module):
    """A model whose inputs have an order: mask, then streams, then what is usable of each."""

    def __init__(self, model: Model, roles: list[str]) -> None:
        super().__init__()
        self.model, self.roles = model, roles

    def forward(self, mask: Tensor, *rows: Tensor) -> Tensor:
        count = len(self.roles)
        streams, valid = (
            dict(zip(self.roles, r, strict=True)) for r in (rows[:count], rows[count:])
        )
        return self.model(streams, valid, mask)


def write_onnx(run: Run, target: Path) -> OnnxFile:
    """Write the network of a run, in float32, and compare it with torch on several shapes.

    Raises:
        ConfigError: packages are missing, the head has an operation that ONNX lacks, or the file
            does not compute what torch does.
    """
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError("an ONNX file", error, "onnx") from error
    for network in run.model.networks.children():
        network.autocast = False  # type: ignore[assignment]  # the file is in float32
    flat = _Flat(run.model.cpu().float(), list(run.streams)).eval()
    names = ["mask", *flat.roles, *(f"{role}_valid" for role in flat.roles)]
    window = run.config.window
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad(), _matrix_transpose():
            warnings.simplefilter("ignore")  # what a trace may freeze, the comparison finds
            # Not the exporter by torch.export: it freezes the batch of LSTMs.
            torch.onnx.export(
                flat,
                _draw(run, batch=2, length=max(1, window // 2), seed=0),
                buffer,  # type: ignore[arg-type]  # files in memory are taken, too
                input_names=names,
                output_names=["predictions"],
                dynamic_axes={n: {0: "batch", 1: "length"} for n in [*names, "predictions"]},
                opset_version=OPSET,
                dynamo=False,
            )
    except (RuntimeError, ValueError, TypeError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise ConfigError(
            f"head {run.config.head} cannot be written as ONNX ({reason}); `--to huggingface` "
            "shares any run"
        ) from error
    proto = onnx.load_from_string(buffer.getvalue())
    facts = _facts(run)
    onnx.helper.set_model_props(proto, facts)
    data = proto.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    difference = _compare(run, flat, session, names)
    write_bytes(target, data)
    return OnnxFile(
        target, {i.name: i.shape for i in session.get_inputs()}, difference, facts["fps"]
    )


def _compare(run: Run, flat: _Flat, session: Any, names: list[str]) -> float:
    """The largest difference on windows full and padded, as long as in training and shorter."""
    window, largest = run.config.window, 0.0
    for seed, (batch, length) in enumerate([(3, window), (1, 1), (4, -(-window * 2 // 3))], 1):
        inputs = _draw(run, batch=batch, length=length, seed=seed)
        with torch.no_grad():
            expected = flat(*inputs).numpy()
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        try:
            (found,) = session.run(["predictions"], feed)
        except Exception as error:  # onnxruntime has a class for every code, without a base
            reason = str(error).partition("\n")[0][:200]
            raise ConfigError(
                f"head {run.config.head} cannot be written as ONNX: the file does not take "
                f"{batch} windows of {length} frames ({reason})"
            ) from error
        difference = float(np.abs(found - expected)[feed["mask"]].max())
        if not difference < LIMIT:  # NaN, too
            raise ConfigError(
                f"head {run.config.head} as ONNX differs from torch by {difference:.2g} on {batch} "
                f"windows of {length} frames, which is not below {LIMIT:g}; nothing was written"
            )
        largest = max(largest, difference)
    return largest


def _draw(run: Run, *, batch: int, length: int, seed: int) -> tuple[Tensor, ...]:
    """Mask, streams and what is usable, at random; the first window is full, others are padded."""
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randint(1, length + 1, (batch, 1), generator=generator)
    frames[0] = length
    network = next(iter(run.model.networks))
    streams, valid = [], []
    for role, facts in run.streams.items():
        encoder = run.model.get_submodule(f"networks.{network}.encoders.{role}")
        x = torch.randn(batch, length, facts["dim"], generator=generator)
        mean, std = (encoder.get_buffer(name).cpu() for name in ("mean", "std"))
        streams.append(x * std + mean)
        valid.append(torch.rand(batch, length, generator=generator) < 0.8)
    return (torch.arange(length) < frames, *streams, *valid)


def _facts(run: Run) -> dict[str, str]:
    """What the file says of itself, name -> text."""
    config = run.config
    return {
        "run": run.path.resolve().name,
        "head": config.head,
        "variant": config.variant,
        "head_revision": str(describe_head(config.head).revision),
        "targets": json.dumps(list(config.learned)),
        "streams": json.dumps(run.streams),
        "window": str(config.window),
        "rows": "one per video frame",
        "fps": _rates(run.path),
    }


def _rates(path: Path) -> str:
    """The frame rates of a run's training items, least and most, as its cache has them."""
    root = Path(recorded(path, "path"))
    try:
        store = FeatureStore.open(root)
        rates = [store.timeline(video).fps for video in recorded(path, "videos")["train"]]
    except CacheError:
        return "not known: the cache that the run was fitted on is not where it was"
    ends = list(dict.fromkeys(f"{rate:.6g}" for rate in (min(rates), max(rates))))
    return " to ".join(ends)


@contextmanager
def _matrix_transpose() -> Iterator[None]:
    """Teach the exporter `Tensor.mT`, which it does not know."""

    def swap(graph: Any, x: Any) -> Any:
        *others, a, b = range(x.type().dim())
        return graph.op("Transpose", x, perm_i=[*others, b, a])

    torch.onnx.register_custom_op_symbolic("aten::mT", swap, OPSET)
    try:
        yield
    finally:
        torch.onnx.unregister_custom_op_symbolic("aten::mT", OPSET)
