"""Our own networks compute what the published ones do: evaluated here from the keys alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from trained import images, trained

from vapipe.extract.networks.architectures import blueprint
from vapipe.extract.networks.ir50 import IR50, ir50_spatial
from vapipe.extract.networks.vggish import VGGish, VGGishPCA


def ir50_reference(state, x, first_stride):
    """IR-50 in float64 from the keys of InsightFace_Pytorch, independent of our module."""
    p = {key: value.double() for key, value in state.items() if value.is_floating_point()}
    x = x.double()

    def norm(x, name):
        shape = (1, -1) + (1,) * (x.ndim - 2)
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_var"]
        scale = p[f"{name}.weight"] / torch.sqrt(var + 1e-5)
        return (x - mean.view(shape)) * scale.view(shape) + p[f"{name}.bias"].view(shape)

    def prelu(x, name):
        return torch.where(x > 0, x, x * p[f"{name}.weight"].view(1, -1, 1, 1))

    x = functional.conv2d(x, p["input_layer.0.weight"], padding=1)
    x = prelu(norm(x, "input_layer.1"), "input_layer.2")
    for unit in range(24):
        stride = {0: first_stride, 3: 2, 7: 2, 21: 2}.get(unit, 1)
        base = f"body.{unit}"
        shortcut = x[:, :, ::stride, ::stride]
        if f"{base}.shortcut_layer.0.weight" in p:
            shortcut = functional.conv2d(shortcut, p[f"{base}.shortcut_layer.0.weight"])
            shortcut = norm(shortcut, f"{base}.shortcut_layer.1")
        y = norm(x, f"{base}.res_layer.0")
        y = functional.conv2d(y, p[f"{base}.res_layer.1.weight"], padding=1)
        y = prelu(y, f"{base}.res_layer.2")
        y = functional.conv2d(y, p[f"{base}.res_layer.3.weight"], padding=1, stride=stride)
        x = norm(y, f"{base}.res_layer.4") + shortcut
    x = norm(x, "output_layer.0").flatten(1)
    x = x @ p["output_layer.3.weight"].T + p["output_layer.3.bias"]
    return norm(x, "output_layer.4")


@pytest.mark.parametrize(("crop", "stride"), [(48, 2), (40, 1)])
def test_ir50_equals_an_evaluation_from_its_keys_in_float64(crop, stride):
    network = trained(IR50, crop=crop, first_stride=stride)
    state = network.state_dict()
    x = images(crop)
    expected = ir50_reference(state, x, stride)
    with torch.no_grad():
        got = network.double()(x.double())
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-9)


@given(crop=st.integers(16, 260), stride=st.sampled_from([1, 2]))
@settings(max_examples=40, deadline=None)
def test_the_map_before_the_linear_layer_of_ir50_follows_from_the_crop(crop, stride):
    side = crop
    for step in (stride, 2, 2, 2):  # a convolution of 3 with padding 1
        side = math.floor((side - 1) / step) + 1
    assert ir50_spatial(crop, stride) == side


def test_the_published_sizes_of_ir50_are_its_own():
    assert blueprint("ir50").output_layer[3].in_features == 512 * 7 * 7
    assert blueprint("ir50", crop=40, first_stride=1).output_layer[3].in_features == 512 * 5 * 5
    assert sum(p.numel() for p in blueprint("ir50").parameters()) == 43_574_976


def test_vggish_equals_an_evaluation_with_channels_last():
    network = trained(VGGish)
    state = network.state_dict()
    x = torch.rand(2, 1, 96, 64)
    y = x
    for index, pools in ((0, True), (3, True), (6, False), (8, True), (11, False), (13, True)):
        weight, bias = state[f"features.{index}.weight"], state[f"features.{index}.bias"]
        y = functional.conv2d(y, weight, bias, padding=1).clamp(min=0)
        if pools:
            y = y.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2))
    y = torch.from_numpy(np.ascontiguousarray(y.numpy().transpose(0, 2, 3, 1))).reshape(2, 12288)
    for index in (0, 2, 4):
        y = y @ state[f"embeddings.{index}.weight"].T + state[f"embeddings.{index}.bias"]
        y = y if index == 4 else y.clamp(min=0)
    with torch.no_grad():
        torch.testing.assert_close(network(x), y, rtol=1e-4, atol=1e-6)


def test_the_pca_clips_as_audioset_does():
    network = VGGishPCA()
    state = {"pca_eigen_vectors": 5 * torch.eye(128), "pca_means": torch.ones(128)}
    network.load_state_dict(state)
    x = torch.ones(1, 128)
    x[0, :3] = torch.tensor([0.0, 1.1, 3.0])
    torch.testing.assert_close(network(x)[0, :4], torch.tensor([-2.0, 0.5, 2.0, 0.0]))
