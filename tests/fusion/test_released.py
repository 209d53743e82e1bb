"""Checkpoints with the released names load, and compute what the released modules computed."""

import math

import pytest
import torch
from torch import nn

from vapipe.cache import ConfigError
from vapipe.fusion import TCN, create_head, load_released

LENGTH, VIDEO, AUDIO = 7, 6, 4


class DenseCoattention(nn.Module):
    """Names as released; video is 1, audio is 2."""

    def __init__(self):
        super().__init__()
        self.query_linear = nn.Linear(VIDEO + AUDIO, VIDEO + AUDIO)
        self.key1_linear = nn.Linear(LENGTH, LENGTH)
        self.key2_linear = nn.Linear(LENGTH, LENGTH)
        self.value1_linear = nn.Linear(VIDEO, VIDEO)
        self.value2_linear = nn.Linear(AUDIO, AUDIO)

    def forward(self, x1, x2):
        joint = self.query_linear(torch.cat((x1, x2), -1))
        hidden = []
        for x, key, value in (
            (x1, self.key1_linear, self.value1_linear),
            (x2, self.key2_linear, self.value2_linear),
        ):
            scores = torch.tanh(key(x.mT) @ joint / math.sqrt(joint.shape[-1]))
            hidden.append(torch.relu(torch.tanh(value(x)) @ scores))
        return hidden


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense_coattn = DenseCoattention()
        self.linears = nn.ModuleList(
            nn.Sequential(nn.Linear(VIDEO + AUDIO, dim), nn.ReLU()) for dim in (VIDEO, AUDIO)
        )

    def forward(self, x1, x2):
        h1, h2 = self.dense_coattn(x1, x2)
        return x1 + self.linears[0](h1), x2 + self.linears[1](h2)


class Released(nn.Module):
    """What the released networks share; subclasses add their gates."""

    def __init__(self):
        super().__init__()
        self.coattn = nn.Module()
        self.coattn.dcn_layers = nn.ModuleList([Layer(), Layer()])
        self.Joint = nn.LSTM(2, 3)  # carried, never used
        self.vregressor = nn.Sequential(nn.Linear(4, 1))

    def steps(self, video, audio):
        steps = [(nn.functional.normalize(video, dim=-1), nn.functional.normalize(audio, dim=-1))]
        for layer in self.coattn.dcn_layers:
            steps.append(layer(*steps[-1]))
        return [list(of_one) for of_one in zip(*steps, strict=True)]


def weigh(steps, scores):
    weights = torch.softmax(scores / 0.1, -1)
    return sum(weights[..., i : i + 1] * step for i, step in enumerate(steps))


class ReleasedGRJCA(Released):
    def __init__(self):
        super().__init__()
        self.video_gating_fc_layer = nn.Linear(VIDEO, 3)
        self.audio_gating_fc_layer = nn.Linear(AUDIO, 3)
        self.text_gating_fc_layer = nn.Linear(5, 3)

    def forward(self, video, audio):
        gates = (self.video_gating_fc_layer, self.audio_gating_fc_layer)
        return torch.cat(
            [
                torch.relu(weigh(steps, gate(steps[-1])))
                for gate, steps in zip(gates, self.steps(video, audio), strict=True)
            ],
            -1,
        )


class ReleasedHGRJCA(Released):
    def __init__(self):
        super().__init__()
        for name, dim in (("video", VIDEO), ("audio", AUDIO)):
            setattr(self, f"{name}_gating_fc_layer_stage1", nn.Linear(dim, 2))
            setattr(self, f"{name}_gating_fc_layer_stage2", nn.Linear(dim, 3))
            setattr(self, f"{name}_gating_fc_layer_stage", nn.Linear(dim, 2))

    def forward(self, video, audio):
        out = []
        for name, steps in zip(("video", "audio"), self.steps(video, audio), strict=True):
            first = getattr(self, f"{name}_gating_fc_layer_stage1")(steps[1])
            second = getattr(self, f"{name}_gating_fc_layer_stage2")(steps[2])
            stages = [torch.relu(weigh(steps[:2], first)), torch.relu(weigh(steps, second))]
            last = getattr(self, f"{name}_gating_fc_layer_stage")(steps[2])
            out.append(torch.relu(weigh(stages, last)))
        return torch.cat(out, -1)


class TemporalEncoder(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.init_hidden = nn.Parameter(torch.randn(4, dim))
        self.rnn = nn.LSTM(dim, dim, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(3 * dim, 2 * dim)

    def forward(self, x):  # [N, steps, dim]
        start = self.init_hidden[:, None].expand(-1, len(x), -1).contiguous()
        out, _ = self.rnn(x, (start[:2], start[2:]))
        return nn.functional.normalize(self.linear(torch.cat((out, x), -1)), dim=-1)


class ReleasedTAGF(Released):
    def __init__(self):
        super().__init__()
        self.video_temporal_encoder = TemporalEncoder(VIDEO)
        self.audio_temporal_encoder = TemporalEncoder(AUDIO)

    def forward(self, video, audio):
        encoders = (self.video_temporal_encoder, self.audio_temporal_encoder)
        out = []
        for encoder, steps in zip(encoders, self.steps(video, audio), strict=True):
            batch, frames, dim = steps[0].shape
            stacked = torch.stack(steps, 2).view(batch * frames, -1, dim)
            scores = encoder(stacked).mean(-1).view(batch, frames, -1)
            out.append(weigh(steps, scores))
        return torch.cat(out, -1)


RELEASED = {"grjca": ReleasedGRJCA, "hgrjca": ReleasedHGRJCA, "tagf": ReleasedTAGF}


def released(name):
    torch.manual_seed(0)
    module = RELEASED[name]().double().eval()
    for parameter in module.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return module


def ours(name, **changes):
    options = {"length": LENGTH, "recursions": 2} | changes
    return create_head(name, {"video": VIDEO, "audio": AUDIO}, **options).double().eval()


def streams(batch=2):
    torch.manual_seed(1)
    sizes = {"video": VIDEO, "audio": AUDIO}
    return {r: torch.randn(batch, LENGTH, dim, dtype=torch.float64) for r, dim in sizes.items()}


@pytest.mark.parametrize("name", RELEASED)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_released_head_computes_the_same_here(name, prefix):
    theirs, head, x = released(name), ours(name), streams()
    state = {prefix + key: value for key, value in theirs.state_dict().items()}
    before = head(x)
    load_released(head, state)
    expected = theirs(x["video"], x["audio"])
    assert (head(x) - expected).abs().max() < 1e-9
    assert (before - expected).abs().max() > 1e-3


@pytest.mark.parametrize("name", RELEASED)
def test_every_entry_matters(name):
    head, x = ours(name), streams()
    state = released(name).state_dict()
    load_released(head, state)
    expected = head(x)
    for key in state:
        if key.startswith(("Joint", "vregressor", "text")):
            continue
        changed = {**state, key: state[key] + torch.randn_like(state[key])}
        load_released(head, changed)
        assert not torch.equal(head(x), expected), key


class ReleasedBlock(nn.Module):
    """A level of the released TCN, whose convolutions are listed twice."""

    def __init__(self, inside, outside, dilation):
        super().__init__()
        conv = [nn.Conv1d(i, outside, 5, dilation=dilation) for i in (inside, outside)]
        with pytest.warns(FutureWarning):
            self.conv1, self.conv2 = (nn.utils.weight_norm(each) for each in conv)
        self.reach = 4 * dilation
        act = nn.LeakyReLU()
        parts = [self.conv1, nn.Identity(), act, nn.Dropout(0.1)]
        self.net = nn.Sequential(*parts, self.conv2, nn.Identity(), act, nn.Dropout(0.1))
        self.downsample = nn.Conv1d(inside, outside, 1) if inside != outside else None

    def forward(self, x):
        y = x
        for conv in (self.conv1, self.conv2):
            y = nn.functional.leaky_relu(conv(nn.functional.pad(y, (self.reach, 0))))
        return nn.functional.leaky_relu(y + (x if self.downsample is None else self.downsample(x)))


def test_a_released_tcn_computes_the_same_here():
    torch.manual_seed(0)
    network = nn.Sequential(ReleasedBlock(3, 5, 1), ReleasedBlock(5, 5, 2)).double().eval()
    state = {f"network.{key}": value + 0.1 for key, value in network.state_dict().items()}
    network.load_state_dict({key.removeprefix("network."): v for key, v in state.items()})
    tcn = TCN(in_dim=3, channels=(5, 5)).double().eval()
    load_released(tcn, state)
    x = torch.randn(2, 11, 3, dtype=torch.float64)
    assert (tcn(x) - network(x.mT).mT).abs().max() < 1e-9
    short = {key: value for key, value in state.items() if ".net." not in key}
    load_released(tcn, short)
    with pytest.raises(ConfigError, match=r"differ from an earlier one .*network.0.net.0.weight_v"):
        load_released(
            tcn, {**state, "network.0.net.0.weight_v": state["network.0.conv1.weight_v"] + 1}
        )


def test_lfan_loads_under_its_released_names_and_other_modality_names():
    head = create_head("lfan", {"video": 6, "audio": 4, "audio2": 3})
    torch.manual_seed(0)
    state = {key: torch.randn_like(value) for key, value in head.state_dict().items()}
    assert {"layers.self_attn.qkv_proj.video.weight", "layers.norm1.bias"} <= set(state)
    load_released(head, state)
    assert all(torch.equal(value, state[key]) for key, value in head.state_dict().items())
    names = {"vggish": "audio", "logmel": "audio2"}
    renamed = {}
    for key, value in state.items():
        for theirs, role in names.items():
            key = key.replace(f"proj.{role}.", f"proj.{theirs}.")
        renamed[key] = value + 1
    with pytest.raises(ConfigError, match=r"unknown entries: .*qkv_proj\.logmel"):
        load_released(head, renamed)
    load_released(head, renamed, modalities=names)
    assert all(torch.equal(value, state[key] + 1) for key, value in head.state_dict().items())


def test_what_does_not_fit_is_listed_and_nothing_is_loaded():
    head, state = ours("grjca"), released("grjca").state_dict()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    lost = "coattn.dcn_layers.1.dense_coattn.key2_linear.bias"
    short = {key: value for key, value in state.items() if key != lost}
    with pytest.raises(
        ConfigError, match=r"does not fit the GRJCA: missing: attention.1.key.audio"
    ):
        load_released(head, short)
    with pytest.raises(ConfigError, match=r"unknown entries: backbone.weight, coattn.other;"):
        load_released(head, {**short, "backbone.weight": state[lost], "coattn.other": state[lost]})
    with pytest.raises(ConfigError, match=r"shape: .*key1_linear.weight \[7, 7\], here \[9, 9\]"):
        load_released(ours("grjca", length=9), state)
    with pytest.raises(
        ConfigError, match=r"unknown entries: .*dcn_layers.1.*length and recursions"
    ):
        load_released(ours("grjca", recursions=1), state)
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(2, 2), "load_released takes .* got Linear$"),
        (ours("grjca", variant="paper"), r"got GRJCA \(variant paper\)"),
    ],
)
def test_modules_that_were_never_released_are_refused(module, message):
    with pytest.raises(ConfigError, match=message):
        load_released(module, {})
