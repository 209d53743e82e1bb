"""The report tells of every item what is there, what is not, and why; nothing stops it."""

import numpy as np
import pytest
from caches import KEYS, add_features, add_video, make_cache, source_of
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import CacheError, Timeline, Valid
from vapipe.cache.header import Item
from vapipe.cache.index import write_index
from vapipe.cache.layout import (
    features_path,
    labels_path,
    timeline_path,
    write_current,
    write_labels,
    write_timeline,
)
from vapipe.cache.pack import pack_cache
from vapipe.cache.report import scan
from vapipe.cache.shard import write_shard
from vapipe.cache.status import cache_status
from vapipe.cache.timestamp_issues import KINDS, find_timestamp_issues

ROWS = 12


@pytest.fixture
def root(tmp_path):
    """Videos a, b and c in the streams onet and logmel; a and b annotated."""
    root = make_cache(tmp_path / "cache")
    codes = np.repeat([Valid.DETECTED, Valid.TRACKED, Valid.NO_FACE], [2, 7, 3]).astype(np.uint8)
    labels = np.zeros((ROWS, 2), np.float32)
    labels[:5] = np.nan
    for name, partition in (("a", "train"), ("b", "validation"), ("c", None)):
        add_video(
            root,
            name,
            {"onet": np.zeros((ROWS, 3)), "logmel": np.zeros((ROWS, 2))},
            valid={"onet": codes},
            labels=labels if partition else None,
            partition=partition,
        )
    write_current(root, {"onet": KEYS["visual"], "logmel": KEYS["audio"]})
    return root


def states(root):
    """Item -> {stream: state}."""
    found = scan(root)
    return {
        item.id: {u.name: c.state for u, c in zip(found.streams, item.cells, strict=True)}
        for item in found.items
    }


def cell(root, item, stream):
    found = scan(root)
    (cells,) = [each.cells for each in found.items if each.id == item]
    return cells[[unit.name for unit in found.streams].index(stream)]


def test_a_sound_cache_is_complete_with_codes_labels_and_sizes(root):
    found = scan(root)
    assert [(u.name, u.modality) for u in found.streams] == [
        ("logmel", "audio"),
        ("onet", "visual"),
    ]
    assert [(i.id, i.partition, i.labelled) for i in found.items] == [
        ("a", "train", ROWS - 5),
        ("b", "validation", ROWS - 5),
        ("c", None, None),
    ]
    for item in found.items:
        sound, face = item.cells
        assert face.codes == {Valid.DETECTED: 2, Valid.TRACKED: 7, Valid.NO_FACE: 3}
        assert sound.codes == {Valid.AUDIO: ROWS}
        assert (face.nbytes, sound.nbytes) == (ROWS * (3 * 2 + 1), ROWS * (2 * 2 + 1))
        assert item.video.seconds == pytest.approx(ROWS / 25)
        assert item.video.source["name"] == f"{item.id}.mp4"
        assert not item.video.odd
    assert not found.damaged


def test_the_counts_are_those_of_the_status(root):
    features_path(root, "onet", KEYS["visual"], "b").unlink()
    timeline = Timeline(np.arange(ROWS) / 25, 25.0)
    write_timeline(root, "a", timeline, subjects=["a"], source=source_of("a", version=1))
    found = scan(root)
    assert found.status == cache_status(root)
    for number, unit in enumerate(found.streams):
        (counted,) = [s for s in found.status.streams if s.stream == unit.name]
        column = [item.cells[number].state for item in found.items]
        assert column.count("complete") == counted.present
        assert column.count("missing") == counted.missing
        assert column.count("stale") == counted.stale
    assert states(root)["a"] == {"onet": "stale", "logmel": "stale"}
    assert cell(root, "a", "onet").reason == "made from an earlier version of the video file"
    assert states(root)["b"] == {"onet": "missing", "logmel": "complete"}


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda _: b"x" * 999])
def test_a_damaged_shard_is_one_damaged_cell_with_its_reason(root, damage, indexed):
    if indexed:  # opening trusts the listing; only reading shows the damage
        write_index(root)
    path = features_path(root, "onet", KEYS["visual"], "b")
    path.write_bytes(damage(path.read_bytes()))
    found = states(root)
    assert found["b"] == {"onet": "damaged", "logmel": "complete"}
    assert found["a"] == found["c"] == {"onet": "complete", "logmel": "complete"}
    (where, reason), *more = scan(root).damaged.items()
    assert not more
    assert where == path.relative_to(root).as_posix()
    assert reason == cell(root, "b", "onet").reason != ""


def test_a_stream_of_which_every_shard_is_damaged_keeps_its_column(root):
    for item in "abc":
        features_path(root, "onet", KEYS["visual"], item).write_bytes(b"")
    assert all(each["onet"] == "damaged" for each in states(root).values())


def test_a_stream_whose_files_are_gone_is_missing(root):
    for item in "abc":
        features_path(root, "onet", KEYS["visual"], item).unlink()
    assert all(each["onet"] == "missing" for each in states(root).values())


def test_unreadable_times_and_labels_are_told(root):
    write_index(root)
    timeline_path(root, "a").write_bytes(b"")
    labels_path(root, "b").write_bytes(b"")
    found = scan(root)
    assert found.videos["a"].problem == "the file is empty or all zeros"
    assert found.items[1].label_problem == "the file is empty or all zeros"
    assert found.items[1].labelled is None
    assert len(found.damaged) == 2


def test_labels_of_another_length_are_told_with_both(root):
    write_labels(root, "a", np.zeros((ROWS + 1, 2)), partition="train", source={})
    item = scan(root).items[0]
    assert item.labelled is None
    assert item.label_problem == "13 label rows for 12 frames; extract again"


@pytest.mark.parametrize("compress", [False, True])
def test_packed_rows_are_counted_alike(root, compress):
    before = scan(root)
    list(pack_cache(root, compress=compress))
    after = scan(root)
    assert after.items == before.items


def test_two_subjects_share_the_sound_of_their_video(root):
    timeline = Timeline(np.arange(ROWS) / 25, 25.0)
    write_timeline(root, "duo", timeline, subjects=["duo", "duo_left"], source=source_of("duo"))
    add_features(root, "duo_left", "onet", np.zeros((ROWS, 3)), video="duo")
    add_features(root, "duo", "logmel", np.zeros((ROWS, 2)), modality="audio")
    found = states(root)
    assert found["duo"] == {"onet": "missing", "logmel": "complete"}
    assert found["duo_left"] == {"onet": "complete", "logmel": "complete"}


def test_earlier_keys_are_left_out_and_counted(root):
    add_features(root, "a", "onet", np.zeros((ROWS, 3)), key="c3" * 32)
    add_features(root, "a", "mine", np.zeros((ROWS, 3)), key="d4" * 32)  # imported: never current
    found = scan(root)
    assert [unit.name for unit in found.streams] == ["logmel", "mine", "onet"]
    assert found.older == 1
    assert found.streams[2].key == KEYS["visual"]


def test_an_empty_cache_has_nothing(tmp_path):
    found = scan(make_cache(tmp_path / "cache"))
    assert (found.items, found.streams, found.videos) == ((), (), {})


def test_a_folder_that_is_no_cache_is_refused(tmp_path):
    with pytest.raises(CacheError, match=r"is not a vapipe cache .*`vapipe extract --videos DIR`"):
        scan(tmp_path)


def test_progress_comes_to_its_end(root):
    steps = []
    scan(root, progress=steps.append)
    assert steps == [4] * 4


# -- times -----------------------------------------------------------------------------------------


def kinds(pts, announced=None):
    return [odd.kind for odd in find_timestamp_issues(np.asarray(pts, float), announced)]


@given(
    st.floats(1, 240),
    st.integers(2, 300),
    st.floats(-0.09, 0.09),
    st.sampled_from([1 / 1000, 1 / 15360, 1 / 90000]),
)
def test_constant_rates_are_ordinary_whatever_the_container_rounds_to(fps, rows, start, tick):
    pts = start + np.round(np.arange(rows) / fps / tick) * tick
    assert set(kinds(pts, None)) <= {"equal times"}


@given(st.integers(30, 300), st.data())
def test_each_oddity_is_named_wherever_it_stands(rows, data):
    pts = np.arange(rows) / 25
    row = data.draw(st.integers(1, rows - 2))
    gap = pts + np.where(np.arange(rows) >= row, 3.0, 0.0)
    assert kinds(gap) == ["gaps"]
    assert f"at most 3.04 s, at {pts[row - 1]:.2f} s" in find_timestamp_issues(gap)[0].text
    equal = pts.copy()
    equal[row] = equal[row - 1]
    assert "equal times" in kinds(equal)
    back = pts.copy()
    back[row] -= 0.2 + row / 25
    assert "times go back" in kinds(back)
    lost = pts.copy()
    lost[row] = np.nan
    assert kinds(lost) == ["times are no numbers"]


def test_starts_and_rates_are_named_with_their_figures():
    pts = np.arange(50) / 25
    assert find_timestamp_issues(pts + 0.852)[0] == (
        "late start",
        "the first frame comes at 0.852 s",
    )
    assert kinds(pts - 0.5) == ["starts before zero"]
    assert kinds(pts, 25.1) == []
    (odd,) = find_timestamp_issues(pts, 30.0)
    assert odd == (
        "other rate than announced",
        "25.000 frames/s on average, the file announces 30.000",
    )


def test_steps_of_different_lengths_are_a_variable_rate():
    steps = np.random.default_rng(0).uniform(0.013, 0.042, 200)
    (odd,) = find_timestamp_issues(np.cumsum(steps))
    assert odd.kind == "variable rate"
    assert f"steps of {steps[1:].min() * 1000:.1f} to {steps[1:].max() * 1000:.1f} ms" in odd.text
    assert {odd.kind, *kinds([0.0])} <= set(KINDS)


def test_times_that_a_timeline_refuses_are_told_of(tmp_path):
    root = make_cache(tmp_path / "cache")
    facts = {"fps": 25.0, "subjects": ["a"], "source": source_of("a"), "media": {}}
    pts = np.arange(ROWS) / 25
    pts[5] = 0.0
    with write_shard(
        timeline_path(root, "a"),
        kind="timeline",
        items=[Item("a", ROWS, facts)],
        arrays={"pts": ("<f8", ())},
    ) as shard:
        shard.append(pts=pts)
    (odd, *_) = scan(root).videos["a"].odd
    assert odd == ("times go back", "1x, first from 0.160 to 0.000 s (frame 5)")
