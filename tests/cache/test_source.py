"""Rows are served only where they were made of what the timeline says; old caches are read."""

import numpy as np
import pytest
from caches import KEYS, source_of
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import FeatureStore, Timeline
from vapipe.cache.layout import create_cache, write_features, write_timeline
from vapipe.cache.source import Source
from vapipe.cache.status import cache_status
from vapipe.errors import CacheError

ROWS = 6
text = st.text(st.characters(categories=["L", "N"]), max_size=5)


@given(st.tuples(text.filter(bool), text, text, text, text, text))
def test_a_source_is_the_same_as_text_and_as_facts(fields):
    source = Source(*fields)
    assert Source.parse(str(source)) == source
    assert Source.of(source.facts()) == source
    assert source.stale_reason(source) is None


@given(st.tuples(*[text.filter(bool)] * 5), st.tuples(*[text.filter(bool)] * 5))
def test_rows_are_stale_where_any_known_field_differs_and_only_then(one, other):
    stored, wanted = Source(*one), Source(*other)
    assert (stored.stale_reason(wanted) is None) == (one == other)
    for number, name in enumerate(Source._fields[1:5], start=1):
        unknown = stored._replace(**{name: ""})
        rest = [a == b for i, (a, b) in enumerate(zip(one, other, strict=True)) if i != number]
        assert (unknown.stale_reason(wanted) is None) == all(rest)


def cache_of(root, *, source, subjects=("a",), sides=None, media=None, made_of=None):
    """One video `a`; its features were made of `made_of` (facts), as an earlier version without."""
    create_cache(root)
    times = Timeline.from_pts(np.arange(ROWS) / 25)
    write_timeline(
        root, "a", times, subjects=subjects, source={**source_of("a"), **source}, sides=sides,
        media=media,
    )  # fmt: skip
    with write_features(
        root, "a", stream="onet", key=KEYS["visual"], modality="visual", rows=ROWS, dim=2,
        source={**source_of("a"), **(made_of or {})},
        config={"schema": 2, "dtype": "float16", "encoder": {"name": "onet"}},
    ) as shard:  # fmt: skip
        shard.append(features=np.ones((ROWS, 2)), valid=np.ones(ROWS, np.uint8))
    return root


DEFAULT = {"default": {"video": 0, "audio": 1}}


@pytest.mark.parametrize(
    ("facts", "made_of", "reason"),
    [
        ({"source": {}}, {}, None),  # a cache of the version before
        ({"source": {"video_stream": "0"}, "media": DEFAULT}, {}, None),  # its timeline renewed
        ({"source": {"video_stream": "2"}, "media": DEFAULT}, {}, "an earlier vapipe, which did"),
        (
            {"source": {"video_stream": "0"}, "media": DEFAULT, "sides": {"a": "right"}},
            {},
            "an earlier vapipe, which did",
        ),
        ({"source": {"video_stream": "2"}, "media": DEFAULT}, {"video_stream": "2"}, None),
        (
            {"source": {"video_stream": "2"}, "media": DEFAULT},
            {"video_stream": "0"},
            "made of video stream 0 of the file, not of 2",
        ),
        (
            {"source": {"video_stream": "0"}, "sides": {"a": "right"}},
            {"video_stream": "0", "subject": "main"},
            "the main person was followed, not the right one",
        ),
        (
            {"source": {"video_stream": "0"}, "sides": {"a": "left"}},
            {"video_stream": "0", "subject": "left"},
            None,
        ),
        ({"source": {"video_stream": "0"}}, {"sha256": "b"}, "an earlier version of the video"),
    ],
)
def test_rows_are_served_beside_a_timeline_of_the_same_source(tmp_path, facts, made_of, reason):
    root = cache_of(tmp_path / "cache", made_of=made_of, **facts)
    store = FeatureStore.open(root)
    (stream,) = cache_status(root).streams
    assert (stream.present, stream.stale) == ((1, 0) if reason is None else (0, 1))
    assert store.has("a", "onet") == (reason is None)
    if reason is None:
        assert store.read("a", "onet").shape == (ROWS, 2)
    else:
        with pytest.raises(CacheError, match=reason):
            store.read("a", "onet")
