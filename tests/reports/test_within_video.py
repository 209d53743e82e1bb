"""Intervals and errors of single videos, against the jackknife written out in plain NumPy."""

import numpy as np
import pytest
from scipy import stats

from vapipe.fusion import ccc
from vapipe.reports.measures import BLOCK_S, within_video
from vapipe.reports.truth import VideoTruth

TARGETS = ("valence", "arousal")


def video(rows, seed=0, start=3.0):
    """An item of an uneven rate whose clock starts late, and predictions of it."""
    rng = np.random.default_rng(seed)
    pts = start + np.cumsum(rng.uniform(0.1, 0.3, rows))
    labels = np.sin(pts[:, None] / [1.3, 2.1]).astype(np.float32)
    prediction = (0.5 * labels + rng.normal(0, 0.3, labels.shape)).astype(np.float32)
    return prediction, VideoTruth("v", pts, 5.0, labels, [], {})


def test_the_interval_is_the_jackknife_over_blocks_of_seconds():
    prediction, item = video(200)
    item.labels[40:90] = np.nan  # one whole block and parts of two
    item.labels[:10, 1] = np.nan
    found = within_video(prediction, item, TARGETS)
    block = ((item.pts - item.pts[0]) / BLOCK_S).astype(int)
    known = np.isfinite(item.labels)
    blocks = [b for b in range(block[-1] + 1) if known[block == b].any()]
    assert found["blocks"] == len(blocks) < block[-1] + 1
    for column, target in enumerate(TARGETS):
        p, t, own = prediction[:, column], item.labels[:, column], known[:, column]
        left = np.array([ccc(p, t, own & (block != b)) for b in blocks])
        count = len(blocks)
        error = np.sqrt((count - 1) / count * ((left - left.mean()) ** 2).sum())
        half = stats.t.ppf(0.975, count - 1) * error
        value = ccc(p, t, own)
        assert found["intervals"][target] == pytest.approx([value - half, value + half], abs=1e-6)
        exact = np.abs(p[own].astype(float) - t[own]).mean()
        assert found["errors"][target] == pytest.approx(exact)


def test_short_and_unannotated_videos_have_none():
    prediction, item = video(30)  # some six seconds
    found = within_video(prediction, item, TARGETS)
    assert found["intervals"] == dict.fromkeys(TARGETS)
    assert None not in found["errors"].values()
    item.labels[:] = np.nan
    found = within_video(prediction, item, TARGETS)
    assert (found["blocks"], found["errors"]) == (0, dict.fromkeys(TARGETS))


def test_a_target_without_annotation_leaves_the_other_alone():
    prediction, item = video(200)
    whole = within_video(prediction, item, TARGETS)
    item.labels[:, 1] = np.nan
    found = within_video(prediction, item, TARGETS)
    assert found["intervals"]["arousal"] is found["errors"]["arousal"] is None
    assert found["intervals"]["valence"] == pytest.approx(whole["intervals"]["valence"])
