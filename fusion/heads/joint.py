"""Facts of the heads with joint cross-attention: JCA, RJCA, DCA, GRJCA, HGRJCA and TAGF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from ..recipes import (
    RELEASED_CLIPS,
    RELEASED_CLIPS_RATE,
    RELEASED_FRAMEWORK,
    RELEASED_MODEL,
    Stated,
)
from ..typed import Among, Within
from .facts import BuiltIn, Gate
from .registry import register_head

TEMPERATURE = 0.1  # of the released gates


class Recursive(BuiltIn):
    """Heads that start with M recursions of joint cross-attention, with weights of their own."""

    variants = ("official", "paper")
    min_streams = 2
    belongs: ClassVar[Mapping[str, str]] = {"mixing": "paper"}
    revision = 2  # 1 had the tanh inside of the product, and other BiLSTMs

    length: int | None = None
    recursions: int = 2
    dropout: Annotated[float, Within(0, 1)] = 0.6
    mixing: Annotated[str, Among(("frames", "channels"))] = "frames"
    normalize: bool = False


class Gated(Recursive):
    """Recursions, and gates over what they give; `gate` says of which kind all of them are.

    `learned`, or for ablations `uniform` (all weights equal) or `none` (the last step alone).
    """

    normalize: bool = True
    temperature: Annotated[float, Within(0, open=True)] = TEMPERATURE
    gate: Gate = "learned"


@register_head("jca")
class JCA(BuiltIn):
    """Joint cross-attention: one attention over all modalities.

    official, what the release runs:

        u_m       = x_m / |x_m|; video: Linear(x_m / |x_m|)         l2 over channels
        out       = BiLSTM(cat over m of attention(u)_m)            [B, L, joint_width]

    paper, its equations, with D = `width` channels and `k` rows of weights:

        u_m       = Linear(x_m)                                     [L, D]
        J         = cat(u_audio, u_video)                           [L, d], d = 2 D (or more)
        C_m       = tanh(u_m^T (W_m J) / sqrt(d))                   [D, d], W_m [L, L]
        H_m       = ReLU(W_cm C_m^T + W'_m u_m)                     [k, D], W_cm [k, d], W'_m [k, L]
        out       = [u_m + W_hm H_m for video, audio, ...]          [L, D] each, W_hm [L, k]

    The official attention is `JointCrossAttention`, with that dropout; BiLSTM is the released
    block `ResidualBiLSTM`: two layers, learned first states, its input concatenated
    first, a Linear, l2-normalised. The Linear of the video (of the first stream) is what the
    released "audio-guided attention" comes down to, a softmax over one position. The W of the
    paper have no bias. Weights of both variants fix the largest window; a shorter one is the same
    as the window padded.
    """

    parameter_count = 3_977_464
    source = (
        "Praveen et al., A joint cross-attention model for audio-visual fusion in dimensional "
        "emotion recognition (CVPRW 2022); released code"
    )
    variants = ("official", "paper")
    min_streams = 2
    published: ClassVar[Mapping[str, Stated]] = {
        **RELEASED_CLIPS,
        "regressor": Stated("relu", "released code"),
        "hidden": Stated(128, "released code"),
        "epochs": Stated(50, "released configuration"),
        "patience": Stated(50, "released code: no early stop"),
        "optimizer": Stated("adam", "released code"),
        "learning_rate": Stated(1e-4, RELEASED_CLIPS_RATE),
        "weight_decay": Stated(0.0, "released code"),
    }
    belongs: ClassVar[Mapping[str, str]] = {
        "dropout": "official",
        "joint_width": "official",
        "width": "paper",
        "k": "paper",
    }
    revision = 2  # 1 was RJCA with M = 1

    length: int | None = None
    dropout: Annotated[float, Within(0, 1)] = 0.6
    joint_width: Annotated[int, Within(1)] = 512
    width: Annotated[int, Within(1)] = 128
    k: Annotated[int, Within(1)] = 32


@register_head("rjca")
class RJCA(Recursive):
    """Recursive joint cross-attention.

        x_m^0     = x_m, or x_m / |x_m| with normalize=True
        x_m^t     = attention_t(x^{t-1})_m                         t = 1 .. M, weights per t
        out       = [x_video^M, x_audio^M, ...]

    The attention is `JointCrossAttention` (official) or `FrameAttention` (paper), where option
    mixing="channels" lifts the limit on the window length. Three streams (RJCMA: video, audio,
    text) or four are the same with a wider J; official, it is their concatenation without the
    Linear, for the released RJCMA computes that Linear and does not use it.
    """

    parameter_count = 1_117_168
    source = (
        "Praveen, Granger and Cardinal, Recursive joint attention for audio-visual fusion in "
        "regression based emotion recognition (ICASSP 2023); Praveen and Alam, Recursive joint "
        "cross-modal attention (CVPRW 2024); released code"
    )
    published: ClassVar[Mapping[str, Stated]] = RELEASED_FRAMEWORK


@register_head("dca")
class DCA(Gated):
    """Joint cross-attention, and a gate per frame between what entered it and what it gave.

        u_m       = x_m / |x_m|                                     l2 over channels
        x_m^0     = u_m                                             lstm=False
                    BiLSTM(u_m), video: BiLSTM(Linear(u_m))         lstm=True
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        g_m       = softmax(Linear(x_m^M) / temperature)            [B, L, 2]
        y_m       = ReLU(g_m[0] x_m^0 + g_m[1] x_m^M)
        out       = [y_video, y_audio, ...]                         lstm=False
                    BiLSTM([y_video, y_audio, ...])                 lstm=True, `joint_width` wide

    BiLSTM is the released block `ResidualBiLSTM`: two layers with half of the channels that it
    gives per direction (d_m, rounded up, or `joint_width`), learned first states, its input
    concatenated first, a Linear, l2-normalised; dropout 0.1 before the attention, none after it.
    It passes over rows which do not exist. For ablations, gate="uniform" makes both weights equal,
    and gate="none" takes x^M alone. The Linear of the video (of the first stream) is what
    the released "audio-guided attention" comes down to, a softmax over one position. The released
    network has all of this, so official takes lstm=True; paper takes it on request. The attention
    is `JointCrossAttention` (official) or `FrameAttention` (paper), where option
    mixing="channels" lifts the limit on the window length.
    """

    parameter_count = 5_691_764
    source = (
        "Praveen and Alam, Cross-attention is not always needed: dynamic cross-attention for "
        "audio-visual dimensional emotion recognition (ICME 2024); released code"
    )
    published: ClassVar[Mapping[str, Stated]] = {
        **RELEASED_CLIPS,
        "regressor": Stated("relu", "released code"),
        "hidden": Stated(128, "released code"),
        "epochs": Stated(100, "released configuration"),
        "patience": Stated(100, "released code: no early stop"),
        "optimizer": Stated("adamw", "released code"),
        "learning_rate": Stated(3e-4, RELEASED_CLIPS_RATE),
        "weight_decay": Stated(1e-5, "released code"),
    }

    lstm: bool | None = None
    joint_width: Annotated[int, Within(1)] = 512


class UnitedWeStand(Gated):
    """The gated heads of one paper."""

    source = (
        "Praveen, Alam and Charton, United we stand, Divided we fall (arXiv:2503.12261, 2025); "
        "released code"
    )
    published: ClassVar[Mapping[str, Stated]] = {
        **RELEASED_MODEL,
        **RELEASED_FRAMEWORK,
        "recursions": Stated(2, "released code; the paper reports 3 as best"),
    }


@register_head("grjca")
class GRJCA(UnitedWeStand):
    """Recursive joint cross-attention whose inputs and all recursions are gated per frame.

        x_m^0     = x_m / |x_m|                                     l2 over channels
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        g_m       = softmax(Linear(x_m^M) / temperature)            [B, L, M+1]
        out_m     = ReLU(sum_t g_m[t] x_m^t)
        out       = [out_video, out_audio, ...]

    The released code has M = 2, where this is the same; its indexing would leave x^1 out for
    M = 3, which the paper reports as best, so here the gate spans all M+1. Gate t belongs to x^t.
    For ablations, gate="uniform" makes all weights equal, and gate="none" takes x^M alone. The
    attention is `JointCrossAttention` (official) or `FrameAttention` (paper), where option
    mixing="channels" lifts the limit on the window length.
    """

    parameter_count = 1_118_326


@register_head("hgrjca")
class HGRJCA(UnitedWeStand):
    """GRJCA with a gate after every recursion, and a gate over what those gates give.

        x_m^0     = x_m / |x_m|                                     l2 over channels
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        official: g_m^t = softmax(Linear_t(x_m^t) / temperature)    over x^0 .. x^t, t+1 ways
        paper:    g_m^t = the same                                  over x^{t-1}, x^t, 2 ways
        y_m^t     = ReLU(sum_s g_m^t[s] x_m^s)                      the stages
        g_m       = softmax(Linear(x_m^M) / temperature)            over y^1 .. y^M
        out_m     = ReLU(sum_t g_m[t] y_m^t)
        out       = [out_video, out_audio, ...]

    Earlier steps come first in every gate. The released code has M = 2. Paper: eqs. 14-20, which
    leave open what the last gate looks at (here x^M, as released). With M = 1 there is one stage
    and nothing for the last gate to choose, so there is no such gate. For ablations,
    gate="uniform" makes every weight of a gate equal, and gate="none" takes the last of what it
    chooses from (in the end ReLU(x^M)). The attention is `JointCrossAttention` (official) or
    `FrameAttention` (paper), where option mixing="channels" lifts the limit on the window length.
    """

    parameter_count = 1_119_870


@register_head("tagf")
class TAGF(Gated):
    """Recursive joint cross-attention whose recursions are weighed by a BiLSTM over them.

        x_m^0     = x_m / |x_m|                                     l2 over channels
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        h_m^t     = BiLSTM(x_m^0, ..., x_m^M)_t                     2 d_m wide, frame by frame
        official: z_m^t = Linear(Dropout(cat(x_m^t, h_m^t)))        2 d_m wide, dropout 0.1
                  s_m^t = mean(z_m^t / |z_m^t|) / temperature       over the features
        paper:    s_m^t = w_m . h_m^t                               eqs. 6-8
        g_m       = softmax(s_m^0, ..., s_m^M)                      [B, L, M+1]
        out_m     = sum_t g_m[t] x_m^t                              no ReLU
        out       = [out_video, out_audio, ...]

    The sequence of the BiLSTM are the recursions of one frame, not frames. Official: its first
    states are learned, one [4, d_m] per modality: h of both directions, then c. Paper: they are
    zeros. The mean of a unit vector of 2 d_m numbers is at most 1 / sqrt(2 d_m), so the official
    gate stays near uniform. For ablations, gate="uniform" makes all weights equal, and gate="none"
    takes x^M alone; neither has a BiLSTM. The attention is `JointCrossAttention` (official) or
    `FrameAttention` (paper), where option mixing="channels" lifts the limit on the window length.
    """

    parameter_count = 2_927_856
    source = "Lee et al., TAGF: time-aware gated fusion (arXiv:2507.02080, 2025); released code"
    published: ClassVar[Mapping[str, Stated]] = {
        **RELEASED_MODEL,
        **RELEASED_FRAMEWORK,
        "learning_rate": Stated(1e-5, "paper"),
        "batch": Stated(6, "paper"),
        "patience": Stated(10, "paper"),
    }
    belongs: ClassVar[Mapping[str, str]] = {"mixing": "paper", "temperature": "official"}
