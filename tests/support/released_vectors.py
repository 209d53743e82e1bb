"""Numbers that the authors' released modules computed; see vectors/README.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from vapipe.fusion import TCN, create_head, load_released
from vapipe.fusion.models.heads.lstm import ResidualBiLSTM

_FOLDER = Path(__file__).parent / "vectors"
_LENGTH = 12


@dataclass(frozen=True)
class Case:
    """A vector and the module that must give its numbers.

    Attributes:
        make: the module.
        roles: name of an input in the file -> role of the head; empty: one tensor [B, L, D].
        modalities: as for `load_released`.
    """

    make: Callable[[], nn.Module]
    roles: tuple[tuple[str, str], ...] = (("video", "video"), ("audio", "audio"))
    modalities: tuple[tuple[str, str], ...] = ()


def _head(name: str, /, dims: dict[str, int] | None = None, **options) -> Callable[[], nn.Module]:
    dims = dims or {"video": 10, "audio": 6}
    return lambda: create_head(name, dims, length=_LENGTH, **options)


_LFAN = (("vggish", "audio"), ("logmel", "audio2"))
CASES = {
    "rjca2": Case(_head("rjca", recursions=3)),
    "rjca2_m1": Case(_head("rjca", recursions=1)),
    "rjca3": Case(
        _head("rjca", {"video": 10, "audio": 6, "text": 8}, recursions=2),
        roles=(("video", "video"), ("audio", "audio"), ("text", "text")),
    ),
    "grjca": Case(_head("grjca", recursions=2)),
    "hgrjca": Case(_head("hgrjca", recursions=2)),
    "tagf": Case(_head("tagf", recursions=2)),
    "dca_gate": Case(_head("dca", {"video": 10, "audio": 10}, recursions=2, lstm=False)),
    "jca_paper": Case(_head("jca", variant="paper", width=7, k=5)),
    "lfan": Case(
        _head("lfan", {"video": 10, "audio": 6, "audio2": 8}, width=8, heads=2),
        roles=(("video", "video"), *_LFAN),
        modalities=_LFAN,
    ),
    "bilstm_residual": Case(
        lambda: ResidualBiLSTM(in_dim=10, out_dim=10, hidden=5, layers=2, dropout=0.1), roles=()
    ),
    "tcn": Case(lambda: TCN(in_dim=6, channels=(8, 8, 5), kernel_size=3), roles=()),
}


class Vector:
    """A file of numbers: parameters, inputs, output, and gradients of sum(output * probe)."""

    def __init__(self, name: str) -> None:
        self.name, self.case = name, CASES[name]
        tensors = load_file(_FOLDER / f"{name}.safetensors")
        if name == "tcn":  # [B, D, L] in the release
            channels_first = ("input/", "grad/", "output", "probe")
            tensors = {
                key: value.mT if key.startswith(channels_first) else value
                for key, value in tensors.items()
            }
        self.state, self.inputs, self.grads = (
            {
                key.removeprefix(part): value
                for key, value in tensors.items()
                if key.startswith(part)
            }
            for part in ("state/", "input/", "grad/")
        )
        self.output, self.probe = tensors["output"], tensors["probe"]

    def module(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        """The module with the released parameters, in evaluation."""
        module = self.case.make().to(dtype).eval()
        state = {name: value.to(dtype) for name, value in self.state.items()}
        load_released(module, state, dict(self.case.modalities))
        return module

    def streams(self, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
        """Role -> input, or {"x": input}; fresh leaves that ask for gradients."""
        return {
            role: self.inputs[name].to(dtype).clone().requires_grad_()
            for name, role in self.case.roles or (("x", "x"),)
        }

    def errors(self, module: nn.Module, dtype: torch.dtype = torch.float64) -> dict[str, float]:
        """Largest differences from the output and every gradient, next to their largest value."""
        streams = self.streams(dtype)
        out = module(streams) if self.case.roles else module(streams["x"])
        if self.name == "jca_paper":
            out = self._regress(streams["video"], out)
        (out * self.probe.to(dtype)).sum().backward()
        pairs = {"output": (out.detach(), self.output)}
        for name, role in self.case.roles or (("x", "x"),):
            pairs[f"gradient of {name}"] = (streams[role].grad, self.grads[name])
        return {
            what: ((own - given).abs().max() / given.abs().max().clamp_min(1)).item()
            for what, (own, given) in pairs.items()
        }

    def _regress(self, video: Tensor, out: Tensor) -> Tensor:
        """Both regressors of that module read cat(raw video, attended video), a slip."""
        read = torch.cat([video, out[..., :7]], dim=-1)
        parts = (
            nn.functional.linear(
                read,
                self.state[f"inner.{target}regressor.weight"].to(read),
                self.state[f"inner.{target}regressor.bias"].to(read),
            )
            for target in "va"
        )
        return torch.cat(list(parts), dim=-1)
