import json

import numpy as np
import pytest
import torch
from facenet_pytorch.models.mtcnn import ONet
from PIL import Image

from vapipe.cache.durable import digest_file
from vapipe.errors import ConfigError
from vapipe.extract.encoders import create_encoder, encoder_options, list_encoders, register_encoder
from vapipe.extract.weights.bundled_weights import facenet_weights


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    from skimage.data import astronaut

    picture = Image.fromarray(astronaut())
    boxes = [(165 + d, 60 + d, 275 + d, 170 + d) for d in range(0, 24, 3)]
    return np.stack([np.asarray(picture.crop(box).resize((112, 112))) for box in boxes])


def test_the_embedded_encoders_are_known():
    assert {"onet", "logmel"} <= set(list_encoders())


@pytest.mark.parametrize("name", ["onet", "logmel"])
def test_every_embedded_encoder_tells_what_it_is(name):
    encoder = create_encoder(name, device="cpu")
    assert encoder.name == name
    assert encoder.modality in ("visual", "audio")
    assert encoder.dim > 0
    options = encoder_options(name, {})
    assert (options.name, options.modality, options.dim) == (name, encoder.modality, encoder.dim)
    assert json.loads(json.dumps(options.describe())) == options.describe()


def test_unknown_names_get_the_near_ones():
    with pytest.raises(ConfigError, match=r"no encoder `o-net`; did you mean onet\? known are: .*"):
        create_encoder("o-net")


def test_unknown_options_get_the_known_ones():
    with pytest.raises(ConfigError, match=r"`onet` has no option `size`; it has none"):
        create_encoder("onet", size=3)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="encoder `onet` is already ONetOptions"):
        register_encoder("onet")(object)


def test_missing_weights_say_what_to_install():
    with pytest.raises(ConfigError, match=r"none\.pt: the weights are missing .*`pip install"):
        facenet_weights("none.pt")


def test_onet_equals_the_original_networks_layer(crops):
    layer = []
    original = ONet().eval()
    original.prelu5.register_forward_hook(lambda module, given, result: layer.append(result))
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).double()
    reduced = torch.nn.functional.adaptive_avg_pool2d(pixels, 48)
    with torch.inference_mode():
        _, _, scores = original.double()((reduced - 127.5) / 128)
    features = create_encoder("onet").encode(crops)
    assert features.shape == (len(crops), 256)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, layer[0].numpy(), atol=1e-4, rtol=1e-4)
    assert (scores[:, 1] > 0.9).any()  # the original takes them for faces: pixels are as it expects


def test_onet_takes_the_part_of_a_margin_crop_that_is_the_box(crops):
    encoder = create_encoder("onet")
    inner = crops[:, 13:99, 13:99]  # 112 / 1.3 = 86 pixels
    np.testing.assert_array_equal(
        encoder.encode(crops, margin=0.3), encoder.encode(np.ascontiguousarray(inner))
    )


def test_onet_embeds_each_crop_on_its_own(crops):
    encoder = create_encoder("onet")
    together = encoder.encode(crops)
    alone = np.concatenate([encoder.encode(crop[None]) for crop in crops])
    np.testing.assert_allclose(together, alone, atol=2e-5)
    np.testing.assert_array_equal(together, encoder.encode(crops))
    assert np.abs(np.diff(together, axis=0)).max() > 0.1


def test_onet_names_the_digest_of_its_weights():
    (file,) = encoder_options("onet", {}).weights_files().values()
    assert file.sha256 == digest_file(facenet_weights("onet.pt").path)
