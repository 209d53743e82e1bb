"""The table of weights is complete, consistent, and agrees with the installed packages."""

import dataclasses
import re

import pytest
import torchaudio
from facenet_pytorch.models import inception_resnet_v1
from torchvision.models import ResNet50_Weights

from vapipe.extract.networks.architectures import ARCHITECTURES, blueprint
from vapipe.extract.weights.table import WEIGHT_TABLE

ENTRIES = pytest.mark.parametrize("entry", WEIGHT_TABLE.values(), ids=list(WEIGHT_TABLE))


@ENTRIES
def test_an_entry_names_a_network_a_file_a_licence_and_a_source(entry):
    assert WEIGHT_TABLE[entry.name] is entry
    assert entry.architecture in ARCHITECTURES
    assert entry.licence
    assert entry.source
    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.sha256 = None


@ENTRIES
def test_a_digest_is_whole_or_the_prefix_in_the_file_name(entry):
    in_name = re.search(r"-([0-9a-f]{8})\.", entry.file)
    if entry.sha256 is None:
        assert in_name is None
    else:
        assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{8}", entry.sha256)
        if in_name:
            assert entry.sha256.startswith(in_name[1])


@ENTRIES
def test_a_public_location_is_encrypted_and_ends_in_the_file(entry):
    if entry.url is None:
        assert entry.architecture == "ir50"
    else:
        assert entry.url.startswith("https://")
        assert entry.file.endswith(entry.url.rpartition("/")[2])


@ENTRIES
def test_every_network_can_be_compared_with_a_file_without_memory(entry):
    state = blueprint(entry.architecture).state_dict()
    assert state
    assert all(tensor.is_meta for tensor in state.values())


def test_no_two_entries_share_a_file():
    files = [entry.file.lower() for entry in WEIGHT_TABLE.values()]
    assert len(set(files)) == len(files)


def test_locations_are_those_of_the_packages_that_publish_them():
    url = {name: entry.url for name, entry in WEIGHT_TABLE.items()}
    assert url["resnet50-imagenet-v1"] == ResNet50_Weights.IMAGENET1K_V1.url
    assert url["resnet50-imagenet-v2"] == ResNet50_Weights.IMAGENET1K_V2.url
    facenet = inception_resnet_v1.load_weights.__code__.co_consts
    assert url["facenet-vggface2"] in facenet
    assert url["facenet-casia-webface"] in facenet
    for name in ("wavlm-base", "wavlm-base-plus", "wavlm-large"):
        bundle = getattr(torchaudio.pipelines, name.upper().replace("-", "_"))
        assert url[name].endswith(f"/torchaudio/models/{bundle._path}")
