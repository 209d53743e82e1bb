"""float32 is float32 whatever was set before, in all threads, and the user's flags come back."""

import multiprocessing
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from vapipe.extract.encoders import create_encoder
from vapipe.extract.run import _attempt
from vapipe.extract.task import Outcome, Settings
from vapipe.numerics import _PLACES, exactly, inferring, reproducibly

SETTINGS = [
    "pass",
    "torch.backends.fp32_precision = 'tf32'",
    "torch.backends.fp32_precision = 'ieee'",
    "torch.set_float32_matmul_precision('medium')",
    "torch.set_float32_matmul_precision('high')",
    "torch.backends.cudnn.allow_tf32 = False",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cudnn.fp32_precision = 'tf32'",
    "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "torch.backends.fp32_precision = 'tf32'; torch.backends.cudnn.conv.fp32_precision = 'none'",
    "torch.backends.cudnn.benchmark = True; torch.backends.cudnn.enabled = False",
    "torch.use_deterministic_algorithms(True)",
]
torch.use_deterministic_algorithms(False)  # takes a second the first time, of forks too
FIELDS = ("enabled", "benchmark", "deterministic")


def flags():
    """All that can be set, as far as it can be read."""
    found = [torch._C._get_fp32_precision_getter(*place) for place in _PLACES]
    found += [getattr(torch.backends.cudnn, name) for name in FIELDS]
    found += [torch.are_deterministic_algorithms_enabled()]
    found += [torch.utils.deterministic.fill_uninitialized_memory]
    for read in (
        lambda: torch.backends.cuda.matmul.allow_tf32,
        lambda: torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision,
    ):
        try:
            found.append(read())
        except RuntimeError:  # older and newer names are mixed
            found.append("mixed")
    return found


def exact():
    values = flags()
    return set(values[: len(_PLACES)]) == {"ieee"} and values[len(_PLACES) :][:3] == [
        True,
        False,
        True,
    ]


def check(setting):
    """In a process of its own: what was set does not come off."""
    warnings.simplefilter("error")
    exec(setting)
    before = flags()
    assert not exact()
    for scope in (exactly(), inferring(), reproducibly(torch.device("cuda"))):
        with scope:
            assert exact()
            with exactly():  # in another one
                assert exact()
            assert exact()
        assert flags() == before, setting
    # A wider setting made later still reaches the places that had none of their own.
    torch.backends.fp32_precision = "tf32"
    later = flags()
    with exactly():
        pass
    assert flags() == later, setting


@pytest.mark.parametrize("setting", SETTINGS)
def test_float32_is_float32_whatever_was_set_and_all_of_it_comes_back(setting):
    """In a forked process: what is set in one does not come off it."""
    process = multiprocessing.get_context("fork").Process(target=check, args=(setting,))
    process.start()
    process.join()
    assert process.exitcode == 0


def test_flags_are_set_for_all_threads_until_the_last_one_is_done():
    before, inner, outer = flags(), threading.Event(), threading.Event()

    def other():
        with exactly():
            inner.set()
            outer.wait(10)

    thread = threading.Thread(target=other)
    with exactly():
        thread.start()
        assert inner.wait(10)
    assert exact()  # the other one still computes
    outer.set()
    thread.join()
    assert flags() == before


def test_encoders_and_whole_extractions_are_exact_and_leave_the_flags(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before, seen = flags(), []
    encoder = create_encoder("onet")
    for layer in (encoder._network.conv1, encoder._network.dense5):
        layer.register_forward_hook(lambda *_: seen.append(exact()))
    encoder.encode(np.zeros((1, 48, 48, 3), np.uint8))

    def extract(*_):
        seen.append(exact())
        return Outcome("v", "extracted")

    monkeypatch.setattr("vapipe.extract.run.extract_video", extract)
    _attempt(Settings(Path("cache"), ()), (), None)
    assert seen == [True, True, True]
    assert flags() == before


def test_an_error_puts_the_flags_back():
    before = flags()
    with pytest.raises(ValueError, match="within"), exactly():
        raise ValueError("within")
    assert flags() == before
