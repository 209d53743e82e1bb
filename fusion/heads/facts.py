"""What is known of a head without its network, so that torch is not loaded to tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from ..recipes import Stated
from ..typed import Among

# Also the order in which heads concatenate streams: video is modality 1, audio modality 2.
ROLES = ("video", "audio", "audio2", "text")

Gate = Annotated[str, Among(("learned", "uniform", "none"))]


class HeadFacts:
    """Facts of a head; its docstring states its equations, whose first line is the summary.

    A head of one's own has them on the class of its network. Those that come with vapipe have
    `BuiltIn` classes beside it.

    Attributes:
        source: where the equations come from.
        variants: what `variant` may be; the first is the default.
        min_streams: how many streams the head needs at least.
        max_streams: how many it takes at most.
        published: how the paper or its released code builds and trains the complete model: options
            of `FitConfig` with their sources. See `recipes`; what the user sets wins.
        presets: what the option `preset` may name, with the options that it sets; others win.
        belongs: option -> the only variant in which it may differ from its default.
        revision: raised whenever weights come to mean something else; runs keep it, and are
            refused by a version that has another.
    """

    source: ClassVar[str]
    variants: ClassVar[tuple[str, ...]] = ("official",)
    min_streams: ClassVar[int] = 1
    max_streams: ClassVar[int] = len(ROLES)
    published: ClassVar[Mapping[str, Stated]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    belongs: ClassVar[Mapping[str, str]] = {}
    revision: ClassVar[int] = 1


class BuiltIn(HeadFacts):
    """Facts of a head whose network is the class of the same name in `models.heads.<head>`.

    The other annotated attributes are the arguments of the network, with their defaults.

    Attributes:
        parameter_count: trainable values of the head alone, as `vapipe heads` lists them.
    """

    parameter_count: ClassVar[int]
