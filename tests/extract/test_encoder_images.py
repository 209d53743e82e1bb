"""The image encoders give what the plain networks give for the same crops."""

import numpy as np
import pytest
import torch
from facenet_pytorch import InceptionResnetV1, fixed_image_standardization
from PIL import Image
from random_weights import cosine, save, shake, spread_cosine
from torchvision.models import resnet50
from torchvision.transforms.v2 import functional as transforms

from vapipe.errors import ConfigError, WeightsError
from vapipe.extract.encoders import create_encoder, encoder_options
from vapipe.extract.networks.ir50 import IR50
from vapipe.extract.weights.files import FOLDER_VARIABLE, add_weights

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BOUNDS = {"float32": (0.9999, 0.9999), "bfloat16": (0.999, 0.995)}


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """Crops of a picture that differ a lot, [4, 112, 112, 3]."""
    from skimage.data import astronaut

    picture = Image.fromarray(astronaut())
    boxes = [(x, y, x + side, y + side) for x, y, side in [(0, 0, 500), (160, 60, 110)]]
    boxes += [(80 * i, 60 * i, 80 * i + 130, 60 * i + 130) for i in range(2)]
    return np.stack([np.asarray(picture.crop(box).resize((112, 112))) for box in boxes])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the files of weights are, as the variable says."""
    path = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(path))
        yield path


def scaled(crops, size):
    """[n, 3, size, size] float32 in 0..1, by torchvision."""
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    return transforms.resize(pixels, [size, size], antialias=True)


def check(name, crops, expected, **options):
    """Compare in both precisions; the encoder and its features in float32."""
    encoder = create_encoder(name, precision="bfloat16", **options)
    features = check_one(encoder, crops, expected, "bfloat16")
    np.testing.assert_array_equal(features, encoder.encode(crops))  # the same bits
    encoder = create_encoder(name, precision="float32", **options)
    return encoder, check_one(encoder, crops, expected, "float32")


def check_one(encoder, crops, expected, precision):
    features = encoder.encode(crops)
    assert features.dtype == np.float32
    assert features.shape == (len(crops), encoder.dim)
    plain, spread = BOUNDS[precision]
    assert cosine(features, expected) >= plain
    assert spread_cosine(features, expected) >= spread
    return features


@pytest.fixture(scope="module")
def resnet(crops, folder):
    torch.manual_seed(0)
    network = shake(
        resnet50(), transforms.normalize(scaled(crops, 112), MEAN, STD), branch_end="bn3"
    )
    file = save(network, folder / "own" / "resnet50.pth")
    network.fc = torch.nn.Identity()
    return network, add_weights("mine", file, architecture="resnet50")


@pytest.mark.parametrize("size", [112, 224])
def test_resnet50_equals_torchvisions(crops, resnet, size):
    network, file = resnet
    expected = network(transforms.normalize(scaled(crops, size), MEAN, STD)).numpy()
    encoder, _ = check("resnet50", crops, expected, weights="mine", size=size)
    assert encoder.input_size == size
    options = encoder_options("resnet50", {"weights": "mine", "size": size})
    assert options.weights_files()["weights"].sha256 == file.sha256


def test_each_crop_is_embedded_on_its_own(crops, resnet):
    encoder = create_encoder("resnet50", weights=str(resnet[1].path), size=112, precision="float32")
    together = encoder.encode(crops)
    alone = np.concatenate([encoder.encode(crop[None]) for crop in crops[:3]])
    np.testing.assert_allclose(together[:3], alone, atol=1e-4 * np.abs(together).max())


def test_facenet_equals_facenet_pytorchs(crops, folder):
    torch.manual_seed(0)
    network = InceptionResnetV1(pretrained=None)
    shake(network, torch.randn(4, 3, 160, 160))
    head = torch.zeros(10, 512)
    save(network, folder / "20180408-102900-casia-webface.pt", **{"logits.weight": head})
    expected = network(fixed_image_standardization(scaled(crops, 160) * 255)).numpy()
    _, features = check("facenet", crops, expected, weights="facenet-casia-webface")
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "network_options"),
    [({}, {}), ({"size": 48, "centre": 40}, {"crop": 40, "first_stride": 1})],
)
def test_ir50_equals_its_network_on_either_input(crops, tmp_path, options, network_options):
    torch.manual_seed(0)
    side = network_options.get("crop", 112)
    network = shake(IR50(**network_options), torch.randn(4, 3, side, side))
    weights = save(network, tmp_path / "ir50.pth")
    pixels = scaled(crops, options.get("size", 112))
    pixels = transforms.center_crop(pixels, [side, side])
    expected = network((pixels - 0.5) / 0.5)
    expected = (expected / expected.norm(dim=1, keepdim=True)).numpy()
    encoder, features = check("ir50", crops, expected, weights=str(weights), **options)
    assert encoder.input_size == side
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet50", "ir50", "facenet"])
def test_absent_weights_name_the_command_that_gets_them(name, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(WeightsError, match=rf"the weights {name}.* `vapipe weights (fetch|add)"):
        create_encoder(name)


def test_weights_of_another_network_are_refused(resnet):
    with pytest.raises(
        ConfigError, match="`ir50`: the weights mine are of resnet50, it needs ir50"
    ):
        create_encoder("ir50", weights="mine")
    with pytest.raises(WeightsError, match=r"do not fit ir50.*looks like a checkpoint of resnet50"):
        create_encoder("ir50", weights=str(resnet[1].path))
    with pytest.raises(
        WeightsError, match=r"`ir50`: there is no file of weights /none\.pt; correc"
    ):
        create_encoder("ir50", weights="/none.pt")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("resnet50", {"size": 16}, "`resnet50`: size must be .* in 32..1024, got 16"),
        ("resnet50", {"size": 99.5}, "size must be a whole number of pixels .* got 99.5"),
        ("ir50", {"size": 40, "centre": 48}, r"centre \(48\) must not exceed size \(40\)"),
        (
            "facenet",
            {"precision": "float8"},
            "`float8` is none of float32, bfloat16, float16, auto",
        ),
        (
            "facenet",
            {"device": "cuda:99"},
            r"device cuda:99 was asked for, but torch \S+ sees .* CUDA d",
        ),
        (
            "facenet",
            {"device": "abacus"},
            "device is `abacus`; it may be auto, cpu, cuda or cuda:N",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, says):
    with pytest.raises(ConfigError, match=says):
        create_encoder(name, **options)
