"""VGGish hears the sound around each frame as AudioSet's code would, from the frame's very time."""

import functools
import itertools
from fractions import Fraction

import librosa
import numpy as np
import pytest
import torch
from clips import RATES, constant_times, variable_times
from random_weights import cosine, save, spread_cosine

from vapipe.cache import Timeline, Valid
from vapipe.errors import ConfigError, WeightsError
from vapipe.extract.encoders import create_encoder, encoder_options
from vapipe.extract.encoders.vggish_patches import LENGTH, VGGishPatches
from vapipe.extract.media.audio import RATE, AudioBlock
from vapipe.extract.networks.vggish import VGGish, VGGishPCA
from vapipe.extract.weights.files import FOLDER_VARIABLE

BOUNDS = {"float32": (0.9999, 0.9999), "bfloat16": (0.999, 0.99)}


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    network = VGGish().eval().requires_grad_(False)
    for module in network.modules():  # keep values from dying out
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    folder = tmp_path_factory.mktemp("weights")
    return network, str(save(network, folder / "vggish.pth"))


def timeline(times):
    return Timeline.from_pts(np.array([float(time) for time in times]))


def noise(seconds, seed=0):
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.lognormal(-3, 1.5, int(seconds * 10) + 1), 1600)[: int(seconds * RATE)]
    return np.clip(loud * rng.normal(size=len(loud)), -1, 1).astype(np.float32)


def encode(encoder, blocks, frames):
    parts = list(encoder.encode(iter(blocks), frames))
    return np.concatenate([f for f, _ in parts]), np.concatenate([c for _, c in parts])


@functools.cache
def reference_filters():
    """[257, 64] float64: triangles that are straight in mel."""

    def mel(hertz):
        return 1127 * np.log(1 + hertz / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    filters = np.zeros((257, 64))
    for bin, band in itertools.product(range(1, 257), range(64)):
        at, (low, centre, high) = mel(bin * 16000 / 512), edges[band : band + 3]
        filters[bin, band] = max(0, min((at - low) / (centre - low), (high - at) / (high - centre)))
    return filters


def reference_patch(samples):
    """[96, 64] float64 of 15600 samples and 112 that the last spectrum's padding covers."""
    window = np.pad(np.hanning(401)[:400], (0, 112))
    spectra = librosa.stft(
        samples.astype(np.float64), n_fft=512, hop_length=160, center=False, window=window
    )
    return np.log(np.abs(spectra).T[:96] @ reference_filters() + 0.01)


def around(samples, begin):
    """Samples from `begin` on, as many as `reference_patch` takes, silence outside."""
    padded = np.pad(samples, 40000)
    return padded[begin + 40000 : begin + 40000 + 15600 + 112]


def expected(network, samples, moments, before):
    begins = [round(moment * RATE) - before for moment in moments]
    patches = [reference_patch(around(samples, begin)) for begin in begins]
    return network(torch.tensor(np.stack(patches))[:, None].float())


@pytest.mark.parametrize("placement", ["centre", "forward"])
def test_equals_the_network_on_patches_cut_around_each_time(network, placement):
    samples = noise(1.5)
    frames = timeline(variable_times(12, start=0.5))
    given = expected(network[0], samples, frames.pts, 7800 if placement == "centre" else 0)
    for precision, (plain, spread) in BOUNDS.items():
        options = {"weights": network[1], "precision": precision, "placement": placement}
        encoder = create_encoder("vggish", **options)
        features, codes = encode(encoder, [AudioBlock(0, samples)], frames)
        assert set(codes.tolist()) == {Valid.AUDIO}
        assert cosine(features, given.relu().numpy()) >= plain
        assert spread_cosine(features, given.relu().numpy()) >= spread
    again, _ = encode(encoder, [AudioBlock(0, samples)], frames)
    np.testing.assert_array_equal(features, again)


def test_without_relu_and_with_pca(network, tmp_path):
    samples, frames = noise(1.5), timeline(constant_times(Fraction(5), 6))
    given = expected(network[0], samples, frames.pts, 7800)
    common = {"weights": network[1], "precision": "float32"}
    plain = create_encoder("vggish", relu=False, **common)
    features, _ = encode(plain, [AudioBlock(0, samples)], frames)
    assert (features < 0).any()
    assert cosine(features, given.numpy()) >= 0.9999
    torch.manual_seed(1)
    pca = VGGishPCA()
    pca.pca_eigen_vectors = torch.linalg.qr(torch.randn(128, 128))[0] * 0.1
    pca.pca_means = torch.rand(128)
    parameters = str(save(pca, tmp_path / "pca.pth"))
    whitened = create_encoder("vggish", pca=parameters, **common)
    features, _ = encode(whitened, [AudioBlock(0, samples)], frames)
    assert np.abs(features).max() <= 2
    assert cosine(features, pca(given.relu()).numpy()) >= 0.9999
    files = encoder_options("vggish", {"pca": parameters, **common}).weights_files()
    assert files["pca"].sha256 != files["weights"].sha256


@pytest.mark.parametrize("fps", [RATES[0], RATES[1], RATES[4]], ids=str)
def test_a_click_is_heard_by_the_frames_around_it_and_by_no_others(network, fps):
    frames = timeline(constant_times(fps, int(1.3 * fps)))
    click = 0.6543
    silent = np.zeros(int(1.3 * RATE), np.float32)
    clicks = silent.copy()
    clicks[round(click * RATE)] = 1
    encoder = create_encoder("vggish", weights=network[1], relu=False, precision="float32")
    features, _ = encode(encoder, [AudioBlock(0, clicks)], frames)
    quiet, _ = encode(encoder, [AudioBlock(0, silent)], timeline([0, 0.1]))
    heard = np.abs(features - quiet[:1]).max(axis=1) > 1e-5 * np.abs(quiet).max()
    rows = np.flatnonzero(heard)
    assert np.array_equal(rows, np.arange(rows[0], rows[-1] + 1))
    assert abs(frames.pts[rows].mean() - click) <= 0.5 / fps
    assert (np.abs(frames.pts[rows] - click) <= LENGTH / 2 / RATE).all()
    assert np.ptp(frames.pts[rows]) >= LENGTH / RATE - 0.004 - 2 / fps  # windows fade in and out


def test_the_patch_begins_at_the_nearest_sample_two_hours_in():
    frames = timeline(constant_times(Fraction(30000, 1001), 216000))
    moments = frames.pts * RATE
    starts = np.rint(moments).astype(np.int64) - LENGTH // 2
    assert np.abs(starts + LENGTH / 2 - moments).max() <= 0.5
    rows = slice(215900, 215906)
    samples = noise(4.0)
    first = int(starts[rows][0]) - 1000
    patches = VGGishPatches(torch.device("cpu"))(samples, starts[rows] - first).numpy()
    for patch, moment in zip(patches, moments[rows], strict=True):
        own = around(samples, round(moment) - 7800 - first)
        np.testing.assert_allclose(patch, reference_patch(own), atol=2e-3)


def test_blocks_and_holes(network):
    samples, frames = noise(3.0), timeline(constant_times(Fraction(5), 15))
    encoder = create_encoder("vggish", weights=network[1], precision="float32")
    whole, _ = encode(encoder, [AudioBlock(0, samples)], frames)
    cuts = [0, 1, 700, 9000, 33000, len(samples)]
    blocks = [AudioBlock(a, samples[a:b]) for a, b in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(whole, encode(encoder, blocks, frames)[0])
    holed = samples.copy()
    holed[RATE : 2 * RATE] = 0
    features, codes = encode(
        encoder, [AudioBlock(0, samples[:RATE]), AudioBlock(2 * RATE, samples[2 * RATE :])], frames
    )
    np.testing.assert_array_equal(codes == Valid.NO_AUDIO, (np.arange(15) // 5) == 1)
    assert not features[5:10].any()
    silence, _ = encode(encoder, [AudioBlock(0, holed)], frames)  # what is not there is silent
    rows = [*range(5), *range(10, 15)]
    np.testing.assert_allclose(features[rows], silence[rows], atol=1e-4 * silence.max())


def test_options_and_weights_that_do_not_fit_are_refused(network, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="placement `middle` is neither centre nor forward"):
        create_encoder("vggish", placement="middle")
    with pytest.raises(ConfigError, match="PCA was fitted to values after the last ReLU; use relu"):
        create_encoder("vggish", relu=False, pca=True)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(WeightsError, match=r"the weights vggish are not in .* fetch vggish`"):
        create_encoder("vggish")
    with pytest.raises(WeightsError, match="the weights vggish-pca are not in"):
        create_encoder("vggish", weights=network[1], pca=True)
