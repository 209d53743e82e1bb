"""Encoders and heads of the user's own are found by every process that needs them."""

import json
import os
import shlex

import numpy as np
import pytest
from clips import PAL, constant_times, write_clip
from extraction import settings_of
from plugged import forget_afterwards
from terminal import vapipe_

from vapipe import plugins
from vapipe.cache import ConfigError, FeatureStore
from vapipe.cache.layout import read_current
from vapipe.extract import VisualEncoder, create_encoder, list_encoders
from vapipe.extract.dataset import find_dataset
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.options import StreamConfig
from vapipe.extract.run import run_extraction
from vapipe.extract.spec import make_specs
from vapipe.fusion import create_head, describe_head, list_heads

ENCODER = '''
import os
import numpy as np
from vapipe.extract import VisualEncoder, register_encoder

@register_encoder("process")
class Process(VisualEncoder):
    """The number of the process, as two digits of base 1000."""
    dim, input_size = 2, 8

    def __init__(self, *, device="cpu"):
        pass

    def encode(self, crops, *, margin=0.0):
        return np.tile(np.float32(divmod(os.getpid(), 1000)), (len(crops), 1))
'''
HEAD = """
from vapipe.fusion.models.heads import Head, register_head

@register_head("first")
class First(Head):
    '''out = x_1'''
    source = "a test"

    def __init__(self, *, dims):
        super().__init__(dims=dims)
        self.out_dim = next(iter(self.dims.values()))

    def fuse(self, x, mask, gates):
        return next(iter(x.values()))
"""


@pytest.fixture(autouse=True)
def _forget(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    forget_afterwards(monkeypatch)


@pytest.fixture
def plug_in(tmp_path):
    """Writes a file and names it."""

    def name(text, file="mine.py"):
        path = tmp_path / file
        path.write_text(text)
        plugins.name_plugins([path])
        return path

    return name


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for clip in ("a", "b"):
        write_clip(folder / f"{clip}.mp4", times=constant_times(PAL, 9))
    return folder


def processes(cache):
    store = FeatureStore.open(cache)
    digits = np.concatenate([store.read(video, "process") for video in store.videos()])
    return {int(high) * 1000 + int(low) for high, low in digits}


def test_a_file_registers_encoders_and_heads(plug_in):
    plug_in(ENCODER + HEAD)
    assert "process" in list_encoders()
    assert "first" in list_heads()
    assert isinstance(create_encoder("process"), VisualEncoder)
    assert create_head("first", {"audio": 3, "video": 5}).out_dim == 5
    assert describe_head("first").source == "a test"


def test_files_are_named_by_the_option_or_by_the_environment(tmp_path, monkeypatch):
    (tmp_path / "encoder.py").write_text(ENCODER)
    (tmp_path / "head.py").write_text(HEAD)
    both = vapipe_("--plugin", "encoder.py", "--plugin", "head.py", "streams").stdout
    assert "process    visual  The number of the process" in both
    forget_afterwards(monkeypatch)
    monkeypatch.setenv(plugins.VARIABLE, os.pathsep.join(["encoder.py", "head.py"]))
    assert "out = x_1" in vapipe_("heads", "first").stdout


def test_worker_processes_find_them(plug_in, videos, tmp_path):
    file = plug_in(ENCODER)
    words = ("extract", "--videos", videos, "--streams", "process", "--faces", "frame")
    result = vapipe_("--plugin", file, *words, "--jobs", 2)
    assert result.exit_code == 0, result.output
    found = processes(tmp_path / "vapipe-cache")
    assert found
    assert os.getpid() not in found


def test_dask_workers_find_them_and_load_them_anew_when_they_changed(
    plug_in, videos, tmp_path, monkeypatch
):
    distributed = pytest.importorskip("distributed")
    os.environ[plugins.VARIABLE] = ""  # of the Dask workers, which begin here
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, protocol="tcp", dashboard_address=None, memory_limit=0
    ) as cluster:
        keys = []
        for text in (ENCODER, ENCODER + "\n# changed\n"):
            cache = tmp_path / f"cache{len(keys)}"
            with monkeypatch.context() as patch:
                forget_afterwards(patch)  # as another process of the planner would begin
                plug_in(text)
                settings = settings_of(cache, (StreamConfig("process", "process"),))
                address = cluster.scheduler_address
                outcomes = list(run_extraction(find_dataset(videos), settings, scheduler=address))
            assert [outcome.status for outcome in outcomes] == ["extracted"] * 2
            keys.append(read_current(cache)["process"])
            assert os.getpid() not in processes(cache)
    assert keys[0] != keys[1]


def test_the_text_of_the_file_is_part_of_the_key(plug_in, monkeypatch):
    keys = []
    for text in (ENCODER, ENCODER, ENCODER + "# changed"):
        with monkeypatch.context() as patch:
            forget_afterwards(patch)
            file = plug_in(text)
            (spec,) = make_specs([StreamConfig("process", "process")], CropConfig())
            assert spec.plugin == dict(plugins.named_plugins())[str(file)]
            keys.append(spec.key())
    assert keys[0] == keys[1] != keys[2]
    assert make_specs([StreamConfig("logmel", "logmel")], CropConfig())[0].plugin is None


def test_batch_files_name_them(plug_in, videos, tmp_path):
    file = plug_in(ENCODER, "my encoder.py")
    words = ("slurm", "job.sh", "--videos", videos, "--streams", "process")
    assert vapipe_("--plugin", "my encoder.py", *words).exit_code == 0
    (line,) = [line for line in (tmp_path / "job.sh").read_text().splitlines() if "srun" in line]
    assert shlex.split(line)[:5] == ["exec", "srun", "vapipe", "--plugin", str(file)]


def test_a_name_that_is_not_known_says_how_one_of_ones_own_is_found():
    result = vapipe_("heads", "first")
    assert result.exit_code == 1
    assert "a head of your own is found with `vapipe --plugin FILE`" in result.stderr
    with pytest.raises(ConfigError, match="of your own is found with `vapipe --plugin FILE`"):
        create_encoder("process")


# -- what can go wrong -----------------------------------------------------------------------------


def test_a_file_that_is_not_there(tmp_path):
    result = vapipe_("--plugin", "nowhere.py", "heads")
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: plug-in {tmp_path / 'nowhere.py'} cannot be read (No such file or directory); "
        "correct --plugin or the environment variable VAPIPE_PLUGINS\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named"),
        ("1 +", "SyntaxError: invalid syntax"),
        (ENCODER.replace('"process"', '"onet"'), "ValueError: encoder `onet` is already ONetOp"),
        (HEAD.replace('"first"', '"grjca"'), "ValueError: head `grjca` is already GRJCA"),
    ],
)
def test_a_file_that_fails_is_named_with_its_fault_every_time(plug_in, text, message):
    path = plug_in(text)
    for _ in range(2):
        with pytest.raises(ConfigError, match="fails when it is loaded") as caught:
            list_encoders(), list_heads()
        assert f"plug-in {path} fails when it is loaded: {message}" in str(caught.value)
        assert f"fix it, `python {path}` shows where" in str(caught.value)


def test_a_file_that_changed_after_it_was_loaded_is_not_served_as_it_was(plug_in):
    path = plug_in(ENCODER)
    assert "process" in list_encoders()
    path.write_text(ENCODER + "# changed")
    with pytest.raises(ConfigError, match=r"mine\.py has changed since this process loaded it"):
        list_encoders()


def test_runs_keep_which_files_were_named(plug_in, tmp_path):
    from fusion_caches import write_planted

    write_planted(tmp_path / "cache", train=2, validation=1)
    file = plug_in(HEAD)
    channels = "tcn_channels={video = [4], audio = [4]}"
    small = ("--set", channels, "--set", "hidden=4", "--epochs", 1, "--targets", "joint")
    words = ("fit", "--head", "first", "--cache", "cache", "--run", "run", *small)
    assert vapipe_("--plugin", file, *words).exit_code == 0
    kept = json.loads((tmp_path / "run/environment.json").read_text())["plugins"]
    assert kept == dict(plugins.named_plugins())
    assert "CCC" in vapipe_("--plugin", file, "evaluate", "run", "--cache", "cache").stdout
