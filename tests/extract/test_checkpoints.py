"""Public checkpoints load into our networks, whatever their layout.

The files are generated in the public key layouts; the references are the networks of the
packages that publish them.
"""

import numpy as np
import pytest
import torch
from facenet_pytorch import InceptionResnetV1
from safetensors.torch import save_file
from torch import nn
from torchaudio.models import wavlm_base, wavlm_model
from torchvision.models import resnet50
from trained import images, trained, weights

from vapipe.errors import WeightsError
from vapipe.extract.networks.architectures import blueprint
from vapipe.extract.networks.ir50 import IR50
from vapipe.extract.networks.vggish import VGGish
from vapipe.extract.weights.checkpoints import check_checkpoint, fit_state, load_network, read_state


def same(network, reference, x):
    """Equal to the reference in float32."""
    with torch.no_grad():
        torch.testing.assert_close(network(x), reference(x), rtol=1e-5, atol=1e-6)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_torchvision_resnet50_gives_the_pooled_features(tmp_path):
    reference = trained(resnet50)
    torch.save(reference.state_dict(), tmp_path / "resnet50.pth")
    reference.fc = nn.Identity()
    same(load_network(weights(tmp_path / "resnet50.pth", "resnet50")), reference, images(64))


def test_facenet_loads_without_classifier_and_without_counters(tmp_path):
    reference = trained(InceptionResnetV1)
    state = {k: v for k, v in reference.state_dict().items() if "num_batches" not in k}
    state |= {"logits.weight": torch.zeros(8631, 512), "logits.bias": torch.zeros(8631)}
    path = tmp_path / "vggface2.pt"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    same(load_network(weights(path, "facenet")), reference, images(80))


@pytest.fixture(scope="module")
def ir50_states():
    """By crop and first stride."""
    return {
        (crop, stride): trained(IR50, crop=crop, first_stride=stride).state_dict()
        for crop, stride in ((48, 2), (40, 1))
    }


@pytest.mark.parametrize("layout", ["insightface", "checkpoint", "papers"])
def test_ir50_loads_from_the_common_layouts(tmp_path, ir50_states, layout):
    crop, stride = (40, 1) if layout == "papers" else (48, 2)
    state = ir50_states[crop, stride]
    path = tmp_path / "ir50.pth"
    if layout == "insightface":  # also face.evoLVe
        save_file(state, path)
    elif layout == "papers":  # a classifier around the backbone
        inside = {f"backbone.{key}": value for key, value in state.items()}
        torch.save(inside | {"logits.weight": torch.zeros(8, 512)}, path)
    else:  # of a training in parallel
        inside = {f"module.{key}": value for key, value in state.items()}
        rest = {"epoch": 3, "step": torch.tensor(7), "opt": {"lr": 0.1, "m": [torch.zeros(1)]}}
        torch.save(rest | {"state_dict": inside}, path)
    network = load_network(weights(path, "ir50"), crop=crop)
    assert (network.crop, network.first_stride) == (crop, stride)
    loaded = network.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], state[key]) for key in state)


def test_ir50_of_any_crop_can_be_checked(tmp_path):
    for side in (5, 7):
        state = blueprint("ir50", crop=16 * side).state_dict()
        zeros = {key: torch.zeros(()).expand(value.shape) for key, value in state.items()}
        torch.save(zeros, tmp_path / "ir50.pth")
        check_checkpoint(tmp_path / "ir50.pth", "ir50")


def test_ir50_weights_for_another_crop_say_which(tmp_path):
    state = {"output_layer.3.weight": torch.zeros(1).expand(512, 512 * 5 * 5)}
    torch.save(state, tmp_path / "ir50.pth")
    with pytest.raises(WeightsError) as caught:
        load_network(weights(tmp_path / "ir50.pth", "ir50"), crop=112)
    assert str(caught.value) == (
        f"{tmp_path}/ir50.pth: these IR-50 weights expect a map of 5 x 5 before the linear "
        "layer; crops of 112 px give 7 x 7, or 14 x 14 where the first stage keeps the size. "
        "Use crops of 80 px or 40 px, the size of their training"
    )


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_torchvggish_loads_with_or_without_its_postprocessor(tmp_path, prefix):
    shapes = {key: value.shape for key, value in blueprint("vggish").state_dict().items()}
    state = {f"{prefix}{key}": torch.zeros(shape) for key, shape in shapes.items()}
    state[f"{prefix}pproc.pca_matrix"] = torch.zeros(128, 128)
    with torch.device("meta"):
        network = VGGish()
    assert fit_state(network, state, "vggish", tmp_path / "vggish.pth").keys() == shapes.keys()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("numpy_1", [True, False])
def test_the_pca_of_torchvggish_loads_from_pickled_numpy_arrays(tmp_path, zipped, numpy_1):
    rng = np.random.default_rng(0)
    vectors, means = rng.normal(size=(128, 128)), rng.normal(size=(128, 1))
    path = tmp_path / "pca.pth"
    content = {"pca_eigen_vectors": vectors, "pca_means": means}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    if numpy_1 and not zipped:
        data = path.read_bytes()
        assert b"cnumpy._core.multiarray\n" in data
        path.write_bytes(data.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n"))
    before = set(torch.serialization.get_safe_globals())
    network = load_network(weights(path, "vggish-pca"))
    assert set(torch.serialization.get_safe_globals()) == before
    x = rng.uniform(0, 1, (3, 128))
    expected = np.clip((x - means[:, 0]) @ vectors.T, -2, 2)
    got = network(torch.from_numpy(x).float())
    torch.testing.assert_close(got.double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-4)


TINY = {
    "extractor_conv_layer_config": [(16, 10, 5), (16, 3, 2), (16, 2, 2)],
    "extractor_conv_bias": False,
    "encoder_embed_dim": 32,
    "encoder_projection_dropout": 0.1,
    "encoder_pos_conv_kernel": 8,
    "encoder_pos_conv_groups": 4,
    "encoder_num_layers": 3,
    "encoder_num_heads": 4,
    "encoder_num_buckets": 32,
    "encoder_max_distance": 80,
    "encoder_attention_dropout": 0.1,
    "encoder_ff_interm_features": 64,
    "encoder_ff_interm_dropout": 0.0,
    "encoder_dropout": 0.1,
    "encoder_layer_drop": 0.05,
    "aux_num_out": None,
}


def tiny_wavlm(large, seed):
    torch.manual_seed(seed)
    mode = "layer_norm" if large else "group_norm"
    network = wavlm_model(extractor_mode=mode, encoder_layer_norm_first=large, **TINY).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def transformers_names(state):
    """torchaudio's names as Transformers has them: attention in three parts, no `transformer`."""
    renamed = {"masked_spec_embed": torch.zeros(32)}
    for key, value in state.items():
        key = key.replace("encoder.feature_projection.", "feature_projection.")
        key = key.replace("encoder.transformer.", "encoder.")
        base, joined, kind = key.partition("attention.attention.in_proj_")
        if joined:
            for part, tensor in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{base}attention.{part}_proj.{kind}"] = tensor
        else:
            renamed[key.replace("attention.attention.out_proj", "attention.out_proj")] = value
    return renamed


def torch_1_names(state):
    """Weight norm as PyTorch 1 wrote it, and so the public files have it."""
    for number, end in ((0, "weight_g"), (1, "weight_v")):
        new = f"parametrizations.weight.original{number}"
        state = {key.replace(new, end): value for key, value in state.items()}
    return state


def fine_tuned_names(state):
    """A classifier that holds Transformers' WavLM as a member."""
    inside = {f"wavlm.{key}": value for key, value in transformers_names(state).items()}
    return inside | {"projector.weight": torch.zeros(8, 32), "classifier.bias": torch.zeros(2)}


@pytest.mark.parametrize(
    ("names", "large"),
    [
        (dict, False),
        (torch_1_names, False),
        (transformers_names, True),
        (lambda state: torch_1_names(transformers_names(state)), False),
        (fine_tuned_names, False),
    ],
    ids=["torchaudio", "torchaudio-1", "transformers", "transformers-1", "fine-tuned"],
)
def test_wavlm_loads_from_torchaudio_and_transformers_names(tmp_path, names, large):
    reference, network = tiny_wavlm(large, 1), tiny_wavlm(large, 2)
    path = tmp_path / "wavlm.bin"
    torch.save(names(reference.state_dict()), path)
    network.load_state_dict(fit_state(network, read_state(path), "wavlm-base", path))
    x = torch.randn(2, 3000)
    with torch.no_grad():
        ours, _ = network.extract_features(x)
        theirs, _ = reference.extract_features(x)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("large", [False, True])
def test_wavlm_of_transformers_gives_the_same_layers(tmp_path, large):
    transformers = pytest.importorskip("transformers")
    convolutions = TINY["extractor_conv_layer_config"]
    config = transformers.WavLMConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        conv_dim=[width for width, _, _ in convolutions],
        conv_kernel=[kernel for _, kernel, _ in convolutions],
        conv_stride=[stride for _, _, stride in convolutions],
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        num_buckets=32,
        max_bucket_distance=80,
        feat_extract_norm="layer" if large else "group",
        do_stable_layer_norm=large,
    )
    torch.manual_seed(3)
    reference = transformers.WavLMModel(config).eval()
    path = tmp_path / "pytorch_model.bin"
    torch.save(reference.state_dict(), path)
    network = tiny_wavlm(large, 4)
    network.load_state_dict(fit_state(network, read_state(path), "wavlm-base", path))
    x = torch.randn(2, 3000)
    with torch.no_grad():
        ours, _ = network.extract_features(x)
        theirs = reference(x, output_hidden_states=True).hidden_states[1:]
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_wavlm_base_loads_in_full_size(tmp_path):
    reference = wavlm_base().eval()
    torch.save(torch_1_names(reference.state_dict()), tmp_path / "wavlm_base.pth")
    network = load_network(weights(tmp_path / "wavlm_base.pth", "wavlm-base"))
    x = torch.randn(1, 8000)
    with torch.no_grad():
        for one, other in zip(
            network.extract_features(x)[0], reference.extract_features(x)[0], strict=True
        ):
            assert torch.equal(one, other)


def test_half_precision_files_are_loaded_as_float32(tmp_path):
    state = {"pca_eigen_vectors": torch.eye(128).half(), "pca_means": torch.ones(128).half()}
    save_file(state, tmp_path / "pca.safetensors")
    network = load_network(weights(tmp_path / "pca.safetensors", "vggish-pca"))
    assert {tensor.dtype for tensor in network.state_dict().values()} == {torch.float32}
    assert torch.equal(network.pca_means, torch.ones(128))
