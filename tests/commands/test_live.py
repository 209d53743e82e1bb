"""`vapipe predict --follow` and `--webcam`: predictions of what is being written or filmed."""

import csv
import io
import json
import shutil
import signal
import threading
import time

import av
import numpy as np
import pytest
import torch
from children import Child
from clips import PAL, Sound, constant_times, write_clip
from extracted import SMALL, hum, moving
from terminal import vapipe_

from vapipe.errors import ConfigError, MediaError, RunError
from vapipe.extract.dataset import Subject
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.faces.crops import read_crops
from vapipe.extract.live import require_live
from vapipe.extract.media.live import open_live, read_live
from vapipe.extract.media.probe import probe
from vapipe.extract.spec import EncoderSpec
from vapipe.extract.weights.files import all_entries
from vapipe.fusion import list_heads
from vapipe.fusion.config import FitConfig
from vapipe.fusion.evaluation.live import CAUSAL_HEADS, require_causal
from vapipe.fusion.models.network import Model
from vapipe.fusion.runs.folder import Run
from vapipe.live import predict_live

ROWS, WINDOW, STRIDE = 100, SMALL["window"], SMALL["stride"]


@pytest.fixture(scope="module")
def causal(cache, runs):
    """A run of `concat` on pictures and sound."""
    fit = ("fit", "--head", "concat", "--config", runs / "fit.json", "--cache", cache)
    folder = runs.parent / "causal"
    assert vapipe_(*fit, "--run", folder).exit_code == 0
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, times=constant_times(PAL, ROWS), sound=Sound(signal=hum), draw=moving)
    return path


class Writer(threading.Thread):
    """Writes a clip into another file as a recorder does, packet by packet, at fourfold speed."""

    def __init__(self, clip, path, **options):
        super().__init__(daemon=True)
        self.clip, self.path, self.options = clip, path, {"flush_packets": "1", **options}

    def run(self):
        began = time.monotonic()
        with (
            av.open(str(self.clip)) as source,
            av.open(str(self.path), "w", options=self.options) as out,
        ):
            tracks = {s.index: out.add_stream_from_template(s) for s in source.streams}
            for packet in source.demux():
                if packet.dts is None:
                    continue
                due = float(packet.dts * packet.time_base) / 4
                time.sleep(max(0.0, due - (time.monotonic() - began)))
                packet.stream = tracks[packet.stream.index]
                out.mux(packet)


def offline(run, path, out):
    assert vapipe_("predict", run, path, "--out", out).exit_code == 0
    with (out / f"{path.stem}.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("suffix", "options"), [("ts", {}), ("mkv", {"cluster_time_limit": "100"})]
)
def test_rows_come_while_the_file_is_written_and_are_those_of_the_complete_file(
    causal, clip, tmp_path, suffix, options
):
    path = tmp_path / f"live.{suffix}"
    writer = Writer(clip, path, **options)
    writer.start()
    while not path.exists():
        time.sleep(0.01)
    rows, early = [], 0
    for row in predict_live(causal, path, patience=2.0).rows:
        rows.append(row)
        early += writer.is_alive()
    writer.join()
    assert early > ROWS / 4
    whole = offline(causal, path, tmp_path / "whole")
    assert len(rows) == len(whole) == ROWS
    for live, row in zip(rows, whole, strict=True):
        assert live.pts == pytest.approx(float(row["pts"]), abs=1e-6)
        assert {kind: code.name.lower() for kind, code in live.evidence.items()} == {
            kind: row[kind] for kind in ("face", "sound")
        }
    values = np.array([row.values for row in rows])
    expected = np.array([[float(row[name]) for name in ("valence", "arousal")] for row in whole])
    # The complete file has no window that begins later: it ends with the file.
    same = slice(0, ROWS - WINDOW + STRIDE)
    apart = np.abs(values - expected)[same]
    # Batches of another size round otherwise in the last bit: now and then to the next float16.
    assert apart.max() < 5e-4
    assert np.median(apart) < 2e-6
    assert all(row.age >= 0 for row in rows)


def test_the_command_prints_a_row_per_frame_and_how_old_it_was(causal, clip, tmp_path):
    path = tmp_path / "done.mkv"
    Writer(clip, path).run()
    shown = vapipe_("predict", causal, "--follow", path, "--patience", 0.5)
    assert shown.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(shown.stdout)))
    assert list(rows[0]) == ["row", "pts", "valence", "arousal", "face", "sound"]
    assert [int(row["row"]) for row in rows] == list(range(ROWS))
    assert "logmel looks 62 ms ahead: sound after the frame" in shown.stderr
    assert f"{ROWS} frames; from decoded to printed: median " in shown.stderr
    assert not (tmp_path / "vapipe-predictions").exists()


def test_faces_are_those_of_the_complete_file(real_clips, tmp_path):
    """Detection, following and smoothing hold back less, and find the same."""
    path = tmp_path / "face.ts"
    with (
        av.open(str(real_clips / "short_hamilton_clip.mp4")) as source,
        av.open(str(path), "w") as out,
    ):
        video = source.streams.video[0]
        track = out.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is not None and packet.pts * packet.time_base < 3:
                packet.stream = track
                out.mux(packet)
    crops, who = CropConfig(), [Subject("one")]
    ways = (
        read_crops(probe(path), crops, who),
        read_crops(open_live(path, 0.5), crops, who, rows=1, frames=read_live),
    )
    whole, live = ([(b.crops["one"], b.codes["one"]) for b in batches] for batches in ways)
    codes = [np.concatenate([code for _, code in way]) for way in (whole, live)]
    np.testing.assert_array_equal(*codes)
    # Searches of fewer pictures at once round otherwise in the last bit: some pixels by a level.
    expected, found = (np.concatenate([crop for crop, _ in way]) for way in (whole, live))
    assert (expected != found).mean() < 1e-4
    assert np.abs(expected.astype(int) - found).max() <= 3


def _run(head, tmp_path, **options):
    roles = ("video", "audio", "audio2")[: 3 if head == "mstcn" else 2]
    config = FitConfig(
        head=head,
        window=16,
        stride=16,
        tcn_channels=dict.fromkeys(roles, (8, 8)),
        streams={role: role for role in roles},
        **options,
    ).resolved()
    torch.manual_seed(0)
    model = Model(config=config, dims=dict.fromkeys(roles, 4)).eval()
    facts = {role: {"stream": role, "dim": 4} for role in roles}
    return Run(tmp_path, config, facts, model, torch.device("cpu"))


@pytest.mark.parametrize("head", list_heads())
def test_the_heads_that_are_named_are_those_that_look_at_no_frame_to_come(head, tmp_path):
    if head in CAUSAL_HEADS:
        require_causal(_run(head, tmp_path))
        return
    with pytest.raises(RunError, match=f"its head {head} takes whole windows"):
        require_causal(_run(head, tmp_path))


def test_a_centred_tcn_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"TCN is centred.*--head lfan --set causal=true"):
        require_causal(_run("lfan", tmp_path, causal=False))


def test_what_cannot_be_live_says_why(causal, runs, clip, tmp_path):
    said = vapipe_("predict", runs / "one", "--follow", clip)
    assert said.exit_code == 1
    assert "cannot predict live: its head grjca takes whole windows" in said.stderr
    assert "`vapipe fit --head concat --set causal=true`" in said.stderr
    said = vapipe_("predict", causal, "--webcam", tmp_path / "video0")
    assert said.exit_code == 1
    assert "there is no camera at" in said.stderr
    said = vapipe_("predict", causal, "--webcam", "/dev/null")
    assert said.exit_code == 1
    assert "a camera gives no sound, and the run" in said.stderr
    for words in (["--smooth", 1], ["--with", runs / "two"], [clip], ["--overlay"]):
        said = vapipe_("predict", causal, *words, "--follow", clip)
        assert said.exit_code == 2
        assert "does not go with --follow or --webcam" in said.stderr


def test_a_camera_that_gives_nothing_is_an_error(cache, runs, tmp_path):
    fit = ("fit", "--head", "concat", "--stream", "video=onet", "--cache", cache)
    config = json.loads((runs / "fit.json").read_text())
    config["tcn_channels"] = {"video": config["tcn_channels"]["video"]}
    (tmp_path / "fit.json").write_text(json.dumps(config))
    run = tmp_path / "pictures"
    done = vapipe_(*fit, "--config", tmp_path / "fit.json", "--run", run)
    assert done.exit_code == 0, done.output
    said = vapipe_("predict", run, "--webcam", "/dev/null")
    assert said.exit_code == 1
    assert "/dev/null: no picture comes from this camera" in said.stderr
    silent = tmp_path / "silent.mkv"
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (30, 32, 48, 3), np.uint8)  # some bytes, as FFmpeg looks at 2 kB
    write_clip(silent, times=constant_times(PAL, 30), draw=noise.__getitem__)
    assert len(list(predict_live(run, silent, patience=0.5).rows)) == 30
    with pytest.raises(MediaError, match=r"no sound in it, and the run .* listens"):
        predict_live(runs / "voice", silent, patience=0.5)


def test_weights_that_are_not_here_are_named_before_the_file_is_opened(
    causal, tmp_path, monkeypatch
):
    monkeypatch.setenv("VAPIPE_WEIGHTS", str(tmp_path / "none"))
    run = tmp_path / "run"
    shutil.copytree(causal, run)
    known = json.loads((run / "cache.json").read_text())
    facts, listed = known["streams"]["audio"], all_entries()["vggish"].sha256
    facts["config"] |= {
        "encoder": "vggish",
        "options": {"placement": "centre", "relu": True},
        "weights": {"weights": {"name": "vggish", "sha256": listed}},
    }
    facts["key"] = EncoderSpec.from_json("logmel", facts["config"]).key()
    (run / "cache.json").write_text(json.dumps(known))
    (tmp_path / "live.ts").touch()
    said = vapipe_("predict", run, "--follow", tmp_path / "live.ts")
    assert said.exit_code == 1
    assert "vapipe weights fetch vggish" in said.stderr


def test_ctrl_c_ends_it_with_how_old_rows_were(causal, clip, tmp_path):
    path = tmp_path / "done.mkv"
    Writer(clip, path).run()
    child = Child(["predict", causal, "--follow", path, "--patience", 60], tmp_path)
    child.wait_until_said("\n50,")
    child.signal(signal.SIGINT)
    result = child.result()
    assert result["code"] == 130
    assert not result["trace"]
    assert "from decoded to printed: median" in result["said"]


def test_streams_that_hear_long_windows_are_refused(tmp_path):
    require_live([EncoderSpec("speech", name, "audio") for name in ("logmel", "mfcc", "vggish")])

    with pytest.raises(ConfigError, match="hears windows of many seconds at once"):
        require_live([EncoderSpec("speech", "wavlm", "audio")])
