"""What a device computes for many processes is what each would compute, also when it dies."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip, write_videos
from extraction import settings_of
from hypothesis import given
from hypothesis import strategies as st
from plugged import forget_afterwards
from terminal import vapipe_

from vapipe.cache import FeatureStore
from vapipe.errors import DeviceLostError
from vapipe.extract.device_client import choose_address, remote_encoders
from vapipe.extract.device_server import serve_devices
from vapipe.extract.encoders import registry
from vapipe.extract.failures import read_failures
from vapipe.extract.runlog import read_logs
from vapipe.extract.wire import receive, send

SUPPORT = Path(__file__).parents[1] / "support"
FACES = Path(__file__).parents[3] / "shared/media/pyfeat_single_face.mp4"
VIDEOS = 6


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("videos"), [30] * VIDEOS)


def extract(videos, cache, *words, before=()):
    return vapipe_(*before, "extract", "--videos", videos, "--cache", cache, *words)


def files(cache):
    """Every shard's bytes."""
    found = [p for room in ("features", "timeline", "labels") for p in (cache / room).rglob("*")]
    return {p.relative_to(cache): p.read_bytes() for p in found if p.is_file()}


@pytest.mark.parametrize("devices", [pytest.param("cpu", marks=pytest.mark.slow), "cpu,cpu"])
def test_served_processes_store_the_bytes_of_a_serial_run(videos, tmp_path, devices):
    source = FACES if FACES.exists() else videos
    assert extract(source, tmp_path / "serial", "--jobs", 1).exit_code == 0
    served = extract(source, tmp_path / "served", "--devices", devices, "--jobs", 2)
    assert served.exit_code == 0, served.output
    assert f"computing on {devices.replace(',', ', ')} with 2 processes" in served.stdout
    assert files(tmp_path / "served") == files(tmp_path / "serial")
    (run,) = read_logs(tmp_path / "served")
    assert [fact["device"] for fact in run.devices] == devices.split(",")
    assert 0 < sum(fact["busy_s"] for fact in run.devices) < sum(f["s"] for f in run.devices)
    stages = run.units[0]["stages"]
    assert {"digest", "decode audio", "write", "wait for rows", "device: search"} <= stages.keys()
    assert all(seconds >= 0 for seconds in stages.values())


def test_a_process_that_is_ended_while_it_computes_ends_in_silence(tmp_path, capfd):
    """A thread amid a batch would abort it, with words on the terminal of who stops a run."""
    settings = settings_of(tmp_path / "cache", "onet")
    asking = threading.Event()

    def ask(address):
        encoder = remote_encoders(address)[0]["onet"]
        crops = np.zeros((256, encoder.input_size, encoder.input_size, 3), np.uint8)
        with suppress(DeviceLostError):
            while True:
                encoder.encode(crops)
                asking.set()

    with ThreadPoolExecutor(2) as pool:
        with serve_devices(settings, ["cpu"]) as (server,):
            asked = [pool.submit(ask, server.address) for _ in range(2)]
            assert asking.wait(60)
        for each in asked:
            each.result()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "plan",
    [
        "once kill",
        *(pytest.param(p, marks=pytest.mark.slow) for p in ("once illegal", "from:4 launch")),
    ],
)
def test_a_device_that_fails_is_begun_again_and_no_video_is_lost(
    videos, tmp_path, monkeypatch, plan
):
    forget_afterwards(monkeypatch)
    result = faulty(videos, tmp_path, plan)
    assert result.exit_code == 0, result.output
    assert f"{VIDEOS} videos extracted" in result.stdout
    assert read_failures(tmp_path / "cache") == {}
    store = FeatureStore.open(tmp_path / "cache")
    assert len(store.videos()) == VIDEOS


@pytest.mark.slow  # in one process: test_device_faults.py
def test_memory_that_runs_out_in_the_devices_process_is_told(videos, tmp_path, monkeypatch):
    forget_afterwards(monkeypatch)
    result = faulty(videos, tmp_path, "above:8 memory")
    assert result.exit_code == 0, result.output
    assert "`faulty` computes 7 at once from now on" in result.stdout


def faulty(videos, folder, plan):
    (folder / "plan").write_text(plan)
    (folder / "streams.toml").write_text(
        f'[streams.faulty]\nencoder = "faulty"\nfolder = "{folder}"\n'
    )
    words = ["--config", folder / "streams.toml", "--faces", "frame", "--devices", "cpu"]
    plugin = ["--plugin", SUPPORT / "faulty.py"]
    return extract(videos, folder / "cache", *words, "--jobs", 2, before=plugin)


@pytest.mark.slow
def test_a_device_that_always_fails_stops_the_run_and_is_named(videos, tmp_path, monkeypatch):
    forget_afterwards(monkeypatch)
    result = faulty(videos, tmp_path, "always cublas")
    assert result.exit_code == 1, result.output
    assert "error: stopped: the device failed at 5 videos, one after the other" in result.stderr
    assert read_failures(tmp_path / "cache") == {}


@pytest.mark.slow
def test_a_video_that_kills_the_devices_process_costs_no_other(videos, tmp_path, monkeypatch):
    forget_afterwards(monkeypatch)
    poisoned = tmp_path / "videos"
    poisoned.mkdir()
    for path in videos.iterdir():
        (poisoned / path.name).symlink_to(path)
    write_clip(poisoned / "poison.mp4", times=constant_times(PAL, 31), sound=Sound())
    result = deadly(poisoned, tmp_path, monkeypatch, rows=31)
    assert result.exit_code == 3, result.output
    assert f"{VIDEOS} videos extracted" in result.stdout
    assert "poison: the process that computes on the device has ended" in result.stderr
    assert read_failures(tmp_path / "cache") == {}


def test_a_device_whose_networks_kill_it_while_they_load_ends_the_run(
    videos, tmp_path, monkeypatch
):
    forget_afterwards(monkeypatch)
    result = deadly(videos, tmp_path, monkeypatch, rows="loading")
    assert result.exit_code == 1, result.output
    words = "error: the process that computes on cpu ended (signal 9, SIGKILL) while it loaded"
    assert words in result.stderr
    assert "too little memory" in result.stderr


def deadly(videos, folder, monkeypatch, rows):
    # Other tests import the module instead.
    monkeypatch.delitem(registry._ENCODERS, "deadly", raising=False)
    (folder / "streams.toml").write_text(
        f'[streams.deadly]\nencoder = "deadly"\nplan = "{rows}:9:{folder}"\n'
    )
    words = ["--config", folder / "streams.toml", "--devices", "cpu", "--jobs", 2]
    return extract(videos, folder / "cache", *words, before=["--plugin", SUPPORT / "deadly.py"])


def test_an_error_of_an_encoder_is_the_videos_and_shows_where_it_was(videos, tmp_path, monkeypatch):
    forget_afterwards(monkeypatch)
    plugin = tmp_path / "wrong.py"
    plugin.write_text(
        "import numpy as np\n"
        "from vapipe.extract.encoders import VisualEncoder, register_encoder\n"
        '@register_encoder("wrong")\n'
        "class Wrong(VisualEncoder):\n"
        '    """Wrong."""\n'
        "    dim, input_size = 3, 1\n"
        '    def __init__(self, *, device: str = "cpu") -> None:\n'
        "        pass\n"
        "    def encode(self, crops, *, margin=0.0):\n"
        "        raise KeyError('no such thing')\n"
    )
    words = ["--streams", "wrong", "--faces", "frame", "--devices", "cpu", "--jobs", 1]
    (one, *_) = sorted(videos.iterdir())
    result = extract(one, tmp_path / "cache", *words, before=["--plugin", plugin])
    assert result.exit_code == 1
    assert "unexpected KeyError: 'no such thing'" in result.stderr
    assert "wrong.py" in result.stderr
    assert "in encode" in result.stderr


@pytest.mark.parametrize("other", [["--device", "cpu"], ["--scheduler", "tcp://localhost:1"]])
def test_options_at_odds_with_several_devices(videos, tmp_path, other):
    result = extract(videos, tmp_path / "cache", "--devices", "cpu,cpu", *other)
    assert result.exit_code == 2
    assert f"--devices and {other[0]} are at odds; leave one of them out" in result.stderr


def test_one_of_several_devices_that_is_not_there(videos, tmp_path):
    result = extract(videos, tmp_path / "cache", "--devices", "cpu,cuda:7")
    assert result.exit_code == 1
    assert "device cuda:7 was asked for, but torch" in result.stderr


def test_the_time_of_the_stages_is_shown(videos, tmp_path):
    (one, *_) = sorted(videos.iterdir())
    result = extract(one, tmp_path / "cache", "--faces", "frame", "--verbose")
    assert result.exit_code == 0, result.output
    shown = [line for line in result.stdout.splitlines() if "ms per frame" in line]
    assert {" ".join(line.split()[:-6]) for line in shown} >= {"digest", "encode onet", "write"}


def test_processes_take_the_devices_in_turn(tmp_path):
    addresses = tuple(str(tmp_path / f"{number}.socket") for number in range(3))
    taken = [choose_address(addresses) for _ in range(7)]
    assert [taken.count(address) for address in addresses] == [3, 2, 2]


arrays = st.builds(
    lambda shape, kind, seed: np.random.default_rng(seed).integers(0, 99, shape).astype(kind),
    st.lists(st.integers(0, 4), max_size=3),
    st.sampled_from(["u1", "<f4", "<f8", "?"]),
    st.integers(0, 9),
)


@given(st.recursive(arrays | st.text() | st.none(), lambda each: st.lists(each, max_size=3)))
def test_messages_arrive_as_they_were_sent(message):
    here, there = socket.socketpair()
    with here, there:
        sender = threading.Thread(target=send, args=[here, message])
        sender.start()
        arrived = receive(there)
        sender.join()
    np.testing.assert_equal(arrived, message)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 64, b"\0" * 7 + b"\1" + b"\0" * 7])
def test_what_is_no_whole_message_is_the_end_of_the_connection(content):
    here, there = socket.socketpair()
    with there:
        here.sendall(content)
        here.close()
        with pytest.raises(EOFError):
            receive(there)
