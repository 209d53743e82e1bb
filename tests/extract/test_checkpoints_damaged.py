"""A file that does not fit, or cannot be read, is an error that says why; none executes code."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet50
from trained import weights

from vapipe.errors import ConfigError, WeightsError
from vapipe.extract.weights.checkpoints import check_checkpoint, load_network, read_state


def refusal(action, *arguments, **options):
    with pytest.raises(WeightsError) as caught:
        action(*arguments, **options)
    return str(caught.value)


def test_weights_of_another_network_name_the_keys_that_differ(tmp_path):
    with torch.device("meta"):
        state = resnet50().state_dict()
    zeros = {key: torch.zeros(()).expand(value.shape) for key, value in state.items()}
    torch.save(zeros, tmp_path / "resnet50.pth")
    message = refusal(load_network, weights(tmp_path / "resnet50.pth", "ir50"), crop=112)
    start, _, rest = message.partition(" missing (body.0.res_layer.0.bias, ")
    assert start == f"{tmp_path}/resnet50.pth: the weights do not fit ir50: 295"
    assert " and 291 more); 320 unexpected (bn1.bias, bn1.num_batches_tracked, " in rest
    assert message.endswith(
        "; it looks like a checkpoint of resnet50. Use a checkpoint of ir50, or name the "
        "network it is made for"
    )


def test_a_tensor_of_another_shape_is_named_with_both_shapes(tmp_path):
    state = {"pca_eigen_vectors": torch.eye(64), "pca_means": torch.zeros(128)}
    torch.save(state, tmp_path / "pca.pth")
    assert refusal(check_checkpoint, tmp_path / "pca.pth", "vggish-pca") == (
        f"{tmp_path}/pca.pth: the weights do not fit vggish-pca: 1 of another shape "
        "(pca_eigen_vectors [64, 64] instead of [128, 128]); it looks like a checkpoint of "
        "vggish-pca. Use a checkpoint of vggish-pca, or name the network it is made for"
    )


@pytest.mark.parametrize(
    ("architecture", "key"),
    [
        ("ir50", "module.input_layer.0.weight"),
        ("facenet", "conv2d_1a.conv.weight"),
        ("vggish", "backbone.embeddings.0.weight"),
        ("wavlm", "wavlm.encoder.layers.0.attention.gru_rel_pos_const"),
    ],
)
def test_a_misplaced_checkpoint_is_recognised(tmp_path, architecture, key):
    torch.save({key: torch.zeros(1)}, tmp_path / "x.pth")
    message = refusal(check_checkpoint, tmp_path / "x.pth", "vggish-pca")
    assert f"it looks like a checkpoint of {architecture}." in message


def test_an_unknown_network_is_named(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "x.pth")
    with pytest.raises(ConfigError, match="no network is called 'resnet18'; there are resnet50"):
        load_network(weights(tmp_path / "x.pth", "resnet18"))


class Trap:
    """Pickles to a call that would be noticed."""

    def __reduce__(self):
        return exec, ("raise SystemExit('the file was executed')",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_execute_code_is_refused_unexecuted(tmp_path, zipped):
    path = tmp_path / "trap.pth"
    content = {"state_dict": {"a": torch.zeros(2)}, "args": Trap()}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    message = refusal(read_state, path)
    assert message.startswith(f"{path}: the checkpoint holds more than tensors (exec), ")
    assert message.endswith("the tensors out and executes nothing (Pickled checkpoints)")


def sample_files(folder):
    state = {"pca_eigen_vectors": torch.eye(128), "pca_means": torch.zeros(128)}
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "x.safetensors")
    return sorted(folder.iterdir())


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_half_downloaded_files_are_named(tmp_path, share):
    for path in sample_files(tmp_path):
        data = path.read_bytes()
        path.write_bytes(data[: int(share * len(data))])
        message = refusal(read_state, path)
        assert message.startswith(f"{path}: not a readable ")
        assert f"({int(share * len(data))} bytes; " in message
        assert message.endswith("damaged, or another kind of file. Get it again")
        assert len(message) < 420


@pytest.mark.parametrize("content", [b"<html>404</html>", b"\x89PNG\r\n\x1a\n" * 9, b"PK\x03\x04"])
def test_other_files_are_not_taken_for_checkpoints(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    assert "not a readable PyTorch checkpoint" in refusal(read_state, tmp_path / "x.pth")


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2], {"state_dict": {}}, torch.zeros(2)])
def test_a_checkpoint_without_named_tensors_says_so(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    message = refusal(read_state, tmp_path / "x.pth")
    assert message.startswith(f"{tmp_path}/x.pth: no tensors found, neither at the top nor under")


def test_an_absent_file_is_named(tmp_path):
    message = refusal(read_state, tmp_path / "absent.pth")
    assert message == f"{tmp_path}/absent.pth: there is no such file of weights"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_damaged_files_raise_nothing_but_our_error(tmp_path):
    rng = np.random.default_rng(7)
    for path in sample_files(tmp_path):
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            places = rng.integers(0, min(len(whole), 3000), rng.integers(1, 8))
            damaged[places] = rng.integers(0, 256, len(places))
            path.write_bytes(damaged.tobytes())
            try:
                read_state(path)
            except WeightsError as error:
                assert str(path) in str(error)  # noqa: PT017 - a flip may leave a readable file
