"""What a file announces and does not hold is named; encrypted files and pointers are refused."""

import av
import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from remux import ffmpeg, problem

from vapipe.errors import MediaError
from vapipe.extract.media.audio import read_audio
from vapipe.extract.media.claims import is_encrypted
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import probe


def noise(row):
    return np.random.default_rng(row).integers(0, 256, (48, 64, 3), dtype=np.uint8)


def write(path, codec="libx264", sound="aac", container=None, **options):
    return write_clip(
        path,
        times=constant_times(PAL, 60),
        size=(64, 48),
        draw=noise,
        codec=codec,
        sound=Sound(codec=sound, rate=44100, signal=lambda times: 0.3 * np.sin(1000 * times)),
        container=container,
        **options,
    ).path


KINDS = [
    ("c.mp4", {"container": {"movflags": "faststart"}}, "60 frames of video stream 0 and holds {}"),
    ("c.mkv", {}, "2.4 s and holds "),
    ("c.avi", {"codec": "mpeg4", "sound": "mp2"}, "2.4 s and holds "),
    ("c.flv", {}, "2.5 s and holds "),
    ("c.wmv", {"codec": "wmv2", "sound": "libmp3lame"}, "2.4 s and holds "),
]


@pytest.mark.parametrize(("name", "options", "says"), KINDS, ids=[kind[0] for kind in KINDS])
def test_a_truncated_file_keeps_what_it_has_and_names_both_numbers(tmp_path, name, options, says):
    path = write(tmp_path / name, **options)
    whole = probe(path)
    assert (len(whole.timeline), whole.damage) == (60, [])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    info = probe(path)
    rows = len(info.timeline)
    assert 20 < rows < 50
    np.testing.assert_allclose(info.timeline.pts, whole.timeline.pts[:rows], atol=2e-3)
    (note, *_) = info.damage
    assert f"the file announces {says.format(rows)}" in f"{note} "
    assert "it is cut off or damaged" in note
    assert sum(frame.image is not None for frame in read_frames(info)) >= rows - 1


def test_a_real_truncated_file_names_both_numbers():
    info = probe(problem("truncated_faststart.mp4"))
    assert len(info.timeline) == 40
    assert info.damage[0] == (
        "the file announces 150 frames of video stream 0 and holds 40: it is cut off or damaged"
    )


@pytest.mark.parametrize(("lost", "other"), [("video", "audio"), ("audio", "video")])
def test_one_stream_goes_on_past_missing_packets_of_the_other(tmp_path, lost, other):
    """The index says that two thirds of one stream lie behind the end of the file."""
    path = write(tmp_path / "c.mp4")
    data = bytearray(path.read_bytes())
    tables = [at for at in range(len(data)) if data[at : at + 4] == b"stco"]
    at = tables[lost == "audio"]
    count = int.from_bytes(data[at + 8 : at + 12], "big")
    for entry in range(count // 3, count):
        place = at + 12 + 4 * entry
        data[place : place + 4] = (1 << 30).to_bytes(4, "big")
    path.write_bytes(data)
    info = probe(path)
    (note,) = info.damage
    assert f"of {lost} stream" in note
    blocks = list(read_audio(info))
    if other == "video":
        assert len(info.timeline) == 60
        assert all(frame.image is not None for frame in read_frames(info))
    else:
        assert 15 <= len(info.timeline) <= 30
        assert blocks[-1].stop / 16000 == pytest.approx(2.4, abs=0.05)


# -- files that are not to be read -----------------------------------------------------------------


def test_an_encrypted_mp4_is_refused(tmp_path):
    key = ("-encryption_key", "0" * 32, "-encryption_kid", "1" * 32)
    path = tmp_path / "c.mp4"
    source = write(tmp_path / "source.mp4")
    ffmpeg("-i", source, "-c", "copy", "-encryption_scheme", "cenc-aes-ctr", *key, path)
    for file in (path, problem("mov-tenc-only-encrypted.mp4")):
        with pytest.raises(MediaError, match=r"video stream 0 is encrypted .*without encryption"):
            probe(file)


def test_a_scrambled_transport_stream_is_refused(tmp_path):
    path = write(tmp_path / "c.ts")
    assert probe(path).damage == []
    data = bytearray(path.read_bytes())
    for at in range(0, len(data), 188):
        if data[at + 1] & 0x1F or data[at + 2] > 0x20:  # not the tables
            data[at + 3] |= 0x80
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"is encrypted|holds no frame|none of the"):
        probe(path)
    assert is_encrypted(path, "mpegts", 0)


@pytest.mark.parametrize(
    ("form", "mark"),
    [
        ("matroska,webm", "6d80 93 6240 90 5031 810 0 5032 8101 5033 8101 5035 83 47e1 00"),
        ("asf", "fbb31122 23bdd211 b4b700a0 c955fc6e"),
        ("asf", "14e68a29 2226174c b935dae0 7ee9289c"),
    ],
)
def test_headers_of_other_containers_tell_encryption(tmp_path, form, mark):
    path = tmp_path / "file"
    path.write_bytes(bytes(500) + bytes.fromhex(mark.replace(" ", "")) + bytes(500))
    assert is_encrypted(path, form, 0)
    path.write_bytes(bytes(1000))
    assert not is_encrypted(path, form, 0)


@pytest.mark.parametrize("name", ["c.mp4", "c.mkv", "c.ts", "c.wmv"])
def test_plain_files_are_not_taken_for_encrypted(tmp_path, name):
    codecs = {"codec": "wmv2", "sound": "libmp3lame"} if name == "c.wmv" else {}
    path = write(tmp_path / name, **codecs)
    with av.open(str(path)) as file:
        form = file.format.name
    assert not is_encrypted(path, form, 0)


def test_a_pointer_of_git_lfs_says_so(tmp_path):
    path = tmp_path / "c.mp4"
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 12345\n"
    path.write_text(text)
    with pytest.raises(MediaError, match=r"a git-lfs pointer, not .* `git lfs pull`"):
        probe(path)
