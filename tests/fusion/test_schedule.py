"""The learning rate: warm-up, and a plateau that knows how good the warm-up was."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vapipe.fusion import FitConfig
from vapipe.fusion.training.schedule import Schedule, make_optimizer


def rates(config, scores, steps=1):
    """The rate after every epoch of a fit with these validation CCCs."""
    config = config.resolved()
    schedule = Schedule(make_optimizer(nn.Linear(1, 1), config), config, steps)
    seen = []
    for epoch, score in enumerate(scores, start=1):
        for step in range(steps):
            schedule.before_step((epoch - 1) * steps + step + 1)
        schedule.after_epoch(epoch, score)
        seen.append(schedule.rate)
    return seen


def expected(config, scores):
    """The rule in words: after the warm-up, more than `patience` epochs in a row below the best."""
    config = config.resolved()
    rate, best, waited, seen = config.learning_rate, float("-inf"), 0, []
    for epoch, score in enumerate(scores, start=1):
        if score > best:
            best, waited = score, 0
        elif epoch > config.warmup_epochs:
            waited += 1
        if waited > config.plateau_patience:
            rate, waited = max(rate * config.plateau_factor, config.min_learning_rate), 0
        seen.append(rate * min(1, epoch / config.warmup_epochs) if config.warmup_epochs else rate)
    return seen


@settings(deadline=None)  # the first example imports
@given(
    scores=st.lists(st.floats(-1, 1, width=16), min_size=1, max_size=30),
    warmup=st.integers(0, 6),
    patience=st.integers(0, 4),
)
def test_the_rate_falls_after_epochs_below_the_best_of_all_epochs(scores, warmup, patience):
    config = FitConfig(warmup_epochs=warmup, plateau_patience=patience, min_learning_rate=1e-7)
    assert rates(config, scores) == pytest.approx(expected(config, scores))


def test_a_warm_up_that_was_better_counts():
    """CCC .60 in epoch 5 of a warm-up of 5, then .35: the rate falls after six epochs."""
    seen = rates(FitConfig(), [0.1, 0.2, 0.3, 0.5, 0.6, *[0.35] * 10])
    assert seen[4:10] == pytest.approx([1e-4] * 6)
    assert seen[10:] == pytest.approx([1e-5] * 5)


@settings(deadline=None)  # the first example imports
@given(warmup=st.integers(1, 5), steps=st.integers(1, 6))
def test_the_released_warm_up_begins_every_epoch_at_zero(warmup, steps):
    """Replayed as written there: batch * rate * (epoch + 1) / (steps * W * W), from zero."""
    config = FitConfig(warmup_epochs=warmup, warmup="sawtooth", schedule="constant").resolved()
    schedule = Schedule(make_optimizer(nn.Linear(1, 1), config), config, steps)
    for step in range(steps * (warmup + 2)):
        schedule.before_step(step + 1)
        epoch, batch = divmod(step, steps)
        released = batch * 1e-4 * (epoch + 1) / (steps * warmup * warmup)
        assert schedule.rate == pytest.approx(released if epoch < warmup else 1e-4)


def test_frozen_weights_are_not_in_the_optimizer():
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    network[0].requires_grad_(False)
    (group,) = make_optimizer(network, FitConfig().resolved()).param_groups
    assert [p.shape for p in group["params"]] == [torch.Size([1, 3]), torch.Size([1])]
