"""Facts of the heads without joint cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from ..recipes import RELEASED_FRAMEWORK, Stated
from ..typed import Among, Within
from .facts import ROLES, BuiltIn, Gate
from .registry import register_head


@register_head("concat")
class Concat(BuiltIn):
    """Concatenate the streams, one or more: out = [x_video, x_audio, ...]."""

    parameter_count = 0
    source = "baseline"


@register_head("lfan")
class LFAN(BuiltIn):
    """Attention over the modalities of a frame, concatenated with the leader.

    For each frame, modality m of M and attention head h with d = width / heads channels:

        [Q, K, V]_m^h = Linear_m(x_m)                        3 width channels, head by head
        w_m^h   = softmax over n of Q_m^h . K_n^h / sqrt(d)                   [M]
        A_m^h   = sum_n w_m^h[n] V_n^h + V_m^h                                [d]
        F       = LayerNorm(Dropout(Linear(cat over h, then m, of A_m^h)))    [M width]
        out     = [x_leader, F]

    The leader is the first stream: the video, where there is one. Frames do not see each other.
    """

    parameter_count = 41_344
    source = (
        "Zhang, An, Ding and Guan, Continuous emotion recognition using visual-audio-linguistic "
        "information (CVPRW 2022), entry MM-CV-LC; released code"
    )
    min_streams = 2
    published: ClassVar[Mapping[str, Stated]] = {
        **RELEASED_FRAMEWORK,
        "tcn_norm": Stated(True, "released code"),
        "tcn_channels": Stated(
            {
                "video": (256, 256, 128, 128),
                "audio": (64, 64, 32, 32),
                "audio2": (32, 32, 32, 32),
                "text": (256, 256, 128, 128),
            },
            "released code",
        ),
        "regressor": Stated("linear", "released code"),
    }

    width: int = 32
    heads: int = 2
    dropout: Annotated[float, Within(0, 1)] = 0.1


@register_head("mstcn")
class MSTCN(BuiltIn):
    """Cross-modal attention over time: the video asks two audio streams.

    For F_v of the first stream (video) and F_m of the two others (audio: VGGish, audio2: log-mel):

        F_v,m = Linear(cat over heads of softmax(Q K^T / sqrt(d)) V)    softmax over existing frames
                Q = Linear(F_v), K = Linear(F_m), V = Linear(F_m)
        out   = [F_v, F_v,audio, F_v,audio2]                                        [L, 3 D_v]

    The multi-scale TCNs before it (kernels 3, 5 and 7, concatenated) and the regressor behind it
    are outside of the head (`published`). The paper states no widths or heads. Chosen here: 4 heads
    and audio TCNs of 64 channels, which the incomplete release has; F_v,m as wide as F_v; video
    TCNs of 256, 256, 128, 128 channels. Every frame sees the future.
    """

    parameter_count = 394_752
    source = "USTC's multi-scale TCN and cross-modal attention: paper; incomplete release"
    variants = ("paper",)
    min_streams = max_streams = 3
    published: ClassVar[Mapping[str, Stated]] = {
        "tcn_kernels": Stated((3, 5, 7), "paper"),
        "tcn_channels": Stated(
            {"video": (256, 256, 128, 128), **dict.fromkeys(ROLES[1:], (64,) * 4)},
            "audio: incomplete release; video: not stated, ours",
        ),
        "regressor": Stated("gelu", "paper"),
        "targets": Stated("joint", "paper: one network with two outputs"),
    }

    heads: Annotated[int, Within(1)] = 4


@register_head("sage")
class SAGE(BuiltIn):
    """Frames weighed by a reliability, a softmax over time, before a transformer encoder.

    With X = cat(x_1, x_2, ...) [L, D] and T the number of existing frames:

        g     = X W_r + b                                      [L]
        alpha = softmax of g over the existing frames          [L]
        Z     = alpha X          variant `paper`, as printed
        Z     = T alpha X        variant `scaled`
        out   = Encoder(Z)                                     [L, D]

    Variant `per_modality` has a column of W_r and an alpha for each modality,
    Z = cat(T alpha_1 x_1, T alpha_2 x_2, ...): one reliability per frame cannot rebalance
    modalities, which the paper says it does.

    As printed, Z is about X / T: for 300 frames the variance of a frame is near 1e-5, which is the
    eps of LayerNorm, so that the encoder starts from shrunken frames. `scaled` does not.

    For ablations, gate="uniform" makes all alpha equal (1 / T), and gate="none" gives Z = X, which
    is `uniform` but for the factor of `paper`.

    b is left out, because the softmax over time takes it out again. No code is published; the paper
    states no sizes. Chosen here: 2 layers, 4 heads, 4 D channels inside, dropout 0.1, normalised
    after each part (as in Vaswani et al. 2017), no positions (the TCNs know the order).
    Every frame sees the future.
    """

    parameter_count = 3_548_544
    source = "SAGE's equations; no code is published"
    published: ClassVar[Mapping[str, Stated]] = {
        "targets": Stated("joint", "paper: one network with two outputs")
    }
    variants = ("paper", "scaled", "per_modality")

    layers: Annotated[int, Within(0)] = 2
    heads: Annotated[int, Within(1)] = 4
    dropout: Annotated[float, Within(0, 1)] = 0.1
    gate: Gate = "learned"


@register_head("transformer")
class Transformer(BuiltIn):
    """A temporal encoder and a transformer encoder over concatenated features.

        Y   = Temporal(cat(x_1, x_2, ...))       nothing, a TCN, or a bidirectional LSTM
        H   = Dropout(Linear(Y) + positions)     [L, width], sinusoids of the frame's place
        out = Encoder(H)                         [L, width]

    `preset` sets what is known of an entry; options that are given win:

        ctyunai        temporal="tcn"
        hfut-mac       temporal="none"
        situ-rucaim3   temporal="lstm", layers=0 (their other form is hfut-mac's)
        netease-fuxi   the same model as hfut-mac; theirs had MAE visual features

    With layers=0 there is no Encoder and there are no positions.

    The defaults are chosen here, as are 4 width channels inside a layer, normalised after each
    part; a TCN of four causal levels, kernel 5, of `width` channels; one LSTM layer of `width`
    channels per direction. Features enter without a TCN of their own (`published`).
    Every frame sees the future, except with layers=0 and no LSTM.
    """

    parameter_count = 1_677_568
    source = (
        "the entries of CtyunAI, HFUT-MAC, Situ-RUCAIM3 and Netease Fuxi, as described by the "
        "papers that compare with them"
    )
    variants = ("paper",)
    published: ClassVar[Mapping[str, Stated]] = {
        "tcn_channels": Stated(dict.fromkeys(ROLES, ()), "as described by other papers")
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ctyunai": {"temporal": "tcn"},
        "hfut-mac": {"temporal": "none"},
        "situ-rucaim3": {"temporal": "lstm", "layers": 0},
        "netease-fuxi": {"temporal": "none"},
    }

    temporal: Annotated[str, Among(("none", "tcn", "lstm"))] = "none"
    width: Annotated[int, Within(1)] = 256
    layers: Annotated[int, Within(0)] = 2
    heads: Annotated[int, Within(1)] = 4
    dropout: Annotated[float, Within(0, 1)] = 0.1
