"""The store serves what fits the present timeline, and says why it does not serve the rest."""

import multiprocessing
import os

import h5py
import numpy as np
import pytest
from caches import KEYS, add_features, add_video, make_cache, source_of

from vapipe.cache import CacheError, FeatureStore, Timeline, Valid
from vapipe.cache.layout import MARKER, create_cache, features_path, write_labels, write_timeline

ROWS = 40


@pytest.fixture
def root(tmp_path):
    root = make_cache(tmp_path / "cache")
    rng = np.random.default_rng(0)
    add_video(
        root,
        "one",
        {"onet": rng.normal(size=(ROWS, 4)), "logmel": rng.normal(size=(ROWS, 2))},
        labels=np.linspace(-1, 1, 2 * ROWS).reshape(ROWS, 2),
        partition="train",
    )
    pts = np.arange(ROWS) / 30
    write_timeline(
        root, "duo", Timeline.from_pts(pts), subjects=["duo", "duo_right"], source=source_of("duo")
    )
    for item, value in (("duo", 1.0), ("duo_right", 2.0)):
        add_features(root, item, "onet", np.full((ROWS, 4), value), video="duo")
    add_features(root, "duo", "logmel", np.full((ROWS, 2), 3.0), modality="audio")
    return root


def test_what_was_written_is_read(root):
    store = FeatureStore.open(root)
    assert store.videos() == ["duo", "duo_right", "one"]
    assert store.streams() == ["logmel", "onet"]
    assert store.dim("onet") == 4
    assert store.modality("logmel") == "audio"
    assert store.partition("one") == "train"
    assert store.partition("duo") is None
    assert store.rows("one") == len(store.timeline("one")) == ROWS
    assert store.timeline("one").fps == pytest.approx(25)
    assert store.labels("one")[0].tolist() == [-1, pytest.approx(-1 + 2 / (2 * ROWS - 1))]
    assert np.isnan(store.labels("duo")).all()
    assert store.config("onet") == {"encoder": {"name": "onet"}}


def test_a_window_is_a_read_only_view_of_the_map(root):
    store = FeatureStore.open(root)
    whole = store.read("one", "onet")
    part = store.read("one", "onet", 10, 20)
    assert whole.shape == (ROWS, 4)
    assert np.shares_memory(whole, part)
    assert not part.flags.writeable
    assert part.dtype == np.float16


def test_two_subjects_share_the_audio_but_not_the_face(root):
    store = FeatureStore.open(root)
    assert np.shares_memory(store.read("duo", "logmel"), store.read("duo_right", "logmel"))
    assert store.read("duo", "onet")[0, 0] == 1
    assert store.read("duo_right", "onet")[0, 0] == 2


def test_a_missing_face_is_not_replaced_by_the_other_subjects(root):
    for path in (root / "features").glob("onet-*/duo_right-*"):
        path.unlink()
    store = FeatureStore.open(root)
    assert not store.has("duo_right", "onet")
    with pytest.raises(CacheError, match="duo_right: stream `onet` is not extracted"):
        store.read("duo_right", "onet")


def test_valid_is_zero_where_unusable_and_status_says_why(tmp_path):
    root = make_cache(tmp_path / "cache")
    codes = np.array([Valid.DETECTED, Valid.NO_FACE, Valid.TRACKED, Valid.DECODE_ERROR], np.uint8)
    add_video(root, "v", {"onet": np.zeros((4, 2))}, valid={"onet": codes})
    store = FeatureStore.open(root)
    assert store.valid("v", "onet").tolist() == [1, 0, 2, 0]
    assert np.array_equal(store.status("v", "onet"), codes)


def test_features_of_an_earlier_file_are_not_served(root):
    timeline = FeatureStore.open(root).timeline("one")
    write_timeline(root, "one", timeline, subjects=["one"], source=source_of("one", version=1))
    store = FeatureStore.open(root)
    assert not store.has("one", "onet")
    with pytest.raises(CacheError, match="earlier version of the video file"):
        store.read("one", "onet")


def test_rows_and_timeline_of_different_lengths_are_refused_with_both_numbers(root):
    add_features(root, "one", "onet", np.zeros((ROWS - 1, 4)))
    with pytest.raises(CacheError, match="39 rows for a timeline of 40 frames"):
        FeatureStore.open(root).read("one", "onet")


def test_labels_of_another_length_are_refused_with_both_numbers(root):
    write_labels(root, "one", np.zeros((3, 2)), partition=None, source={})
    with pytest.raises(CacheError, match="3 label rows for a timeline of 40 frames"):
        FeatureStore.open(root).labels("one")


def test_several_keys_of_a_stream_must_be_told_apart(root):
    add_features(root, "one", "onet", np.full((ROWS, 4), 9.0), key="c3" * 32)
    store = FeatureStore.open(root)
    assert store.keys("onet") == [KEYS["visual"], "c3" * 32]
    with pytest.raises(CacheError, match=r"2 keys .*onet@a1a1a1a1, onet@c3c3c3c3"):
        store.read("one", "onet")
    assert store.read("one", "onet@c3")[0, 0] == 9
    assert store.key("onet@a1") == KEYS["visual"]


def test_unknown_names_are_named_with_the_way_out(root):
    store = FeatureStore.open(root)
    with pytest.raises(CacheError, match="no video `nobody`"):
        store.timeline("nobody")
    with pytest.raises(CacheError, match=r"no stream `wavlm` .*logmel@b2b2b2b2.*--streams wavlm"):
        store.read("one", "wavlm")


def test_a_damaged_shard_is_listed_and_the_rest_is_served(root):
    (victim,) = (root / "features").glob("onet-*/one-*")
    victim.write_bytes(victim.read_bytes()[:-1])
    store = FeatureStore.open(root)
    assert list(store.damaged()) == [victim]
    assert not store.has("one", "onet")
    assert store.has("duo", "onet")


def test_opening_what_is_no_cache_says_how_to_make_one(tmp_path):
    with pytest.raises(CacheError, match=r"not a vapipe cache .*vapipe extract --videos"):
        FeatureStore.open(tmp_path)


def test_another_format_or_a_broken_marker_is_refused(root):
    (root / MARKER).write_text('{"version": 99}')
    with pytest.raises(CacheError, match="cache format 99, this vapipe reads 1"):
        FeatureStore.open(root)
    (root / MARKER).write_text("{")
    with pytest.raises(CacheError, match="cannot read"):
        FeatureStore.open(root)


def test_a_cache_is_not_made_among_other_things_or_over_a_file(tmp_path):
    (tmp_path / "photo.jpg").write_text("x")
    with pytest.raises(CacheError, match=r"holds 1 other entry \(photo.jpg"):
        create_cache(tmp_path)
    with pytest.raises(CacheError, match="is a file"):
        create_cache(tmp_path / "photo.jpg")


def test_labels_must_have_the_announced_form(tmp_path):
    with pytest.raises(CacheError, match=r"must be \[T, 2\]"):
        write_labels(tmp_path, "v", np.zeros(3), partition=None, source={})
    with pytest.raises(CacheError, match="partition `trian` is none of"):
        write_labels(tmp_path, "v", np.zeros((3, 2)), partition="trian", source={})


def test_a_foreign_hdf5_file_is_listed_and_the_rest_is_served(root):
    path = features_path(root, "onet", KEYS["visual"], "stranger")
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros((3, 4))
    store = FeatureStore.open(root)
    assert store.damaged() == {path: "an HDF5 file that vapipe did not write"}
    assert store.has("one", "onet")


def as_nobody(work):
    """Run in a forked process without privileges; its answer."""
    if os.getuid() != 0:
        return work()
    answer, question = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        try:
            os.write(question, str(work()).encode())
        except Exception as error:
            os.write(question, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return os.read(answer, 100_000).decode()


def test_a_shard_without_permission_is_listed_and_the_rest_is_served(root):
    for parent in [root, *root.parents]:
        if parent.stat().st_uid == os.getuid() and parent != parent.parent:
            parent.chmod(parent.stat().st_mode | 0o755)
    path = features_path(root, "onet", KEYS["visual"], "one")
    path.chmod(0)
    answer = as_nobody(lambda: FeatureStore.open(root).damaged())
    assert "Permission denied" in str(answer)
    assert path.name in str(answer)
    answer = as_nobody(lambda: FeatureStore.open(root).read("duo", "onet").shape)
    assert str(answer) == "(40, 4)"
    if os.getuid() == 0:
        answer = as_nobody(lambda: add_features(root, "duo", "onet", np.zeros((ROWS, 4))))
        assert "Permission denied; what was there before is intact" in answer


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same(root, method):
    store = FeatureStore.open(root)
    expected = store.read("one", "onet")
    with multiprocessing.get_context(method).Pool(2) as pool:
        answers = pool.starmap_async(FeatureStore.read, [(store, "one", "onet")] * 4).get(60)
    assert all(np.array_equal(answer, expected) for answer in answers)


def test_reading_writes_nothing(root):
    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in sorted(root.rglob("*"))}

    before = state()
    store = FeatureStore.open(root)
    store.read("one", "onet")
    store.labels("one")
    assert state() == before
