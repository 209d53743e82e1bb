"""The loss of the validation videos is that of training, taken in the pass that validates."""

import dataclasses

import numpy as np
import pytest
import torch
from fusion_caches import write_planted

from vapipe.cache import FeatureStore
from vapipe.cache.layout import write_labels
from vapipe.fusion import fit, load_run
from vapipe.fusion.data.loader import BatchLoader
from vapipe.fusion.data.plan import make_windows


def test_it_is_the_mean_over_annotated_windows_of_one_minus_their_ccc(small, tmp_path):
    store = write_planted(tmp_path / "cache")
    labels = np.array(store.labels("video6"))
    labels[:60, 1], labels[:, 0] = np.nan, np.where(labels[:, 0] > 0, labels[:, 0], np.nan)
    write_labels(store.root, "video6", labels, partition="validation", source={})
    store = FeatureStore.open(tmp_path / "cache")
    result = fit(store, dataclasses.replace(small, epochs=1, loss_ddof=1), tmp_path / "run")
    run = load_run(result.run_dir)
    windows = make_windows(store, ["video6", "video7"], run.config)
    costs = {"valence": [], "arousal": []}
    for tensors in BatchLoader(store, run.config, run.device).batches(windows):
        with torch.inference_mode():
            output = run.model(tensors.streams, tensors.valid, tensors.mask).double().numpy()
        for window, predicted in zip(tensors.windows, output, strict=True):
            truth = store.labels(window.video)[window.start : window.stop].astype(np.float64)
            for column, own in enumerate(costs.values()):
                known = np.isfinite(truth[:, column])
                p, t = predicted[: len(truth)][known, column], truth[known, column]
                if known.any():
                    spread = p.var(ddof=1) + t.var(ddof=1) + (p.mean() - t.mean()) ** 2
                    own.append(1 - 2 * np.cov(p, t, ddof=0)[0, 1] / spread)
    assert len(costs["arousal"]) < len(windows)
    expected = sum(np.mean(own) for own in costs.values())
    assert result.epochs[0].validation_loss == pytest.approx(expected, rel=1e-4)
