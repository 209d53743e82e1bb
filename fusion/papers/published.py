"""Concordances that the papers report on Aff-Wild2, and for which fits they are comparable."""

from __future__ import annotations

from ..config import FitConfig
from ..heads import describe_head

NOTE = (
    "Published: CCC on Aff-Wild2 as the papers report it for this system, fold, number of "
    "recursions and window, with fine-tuned backbones and pixel augmentation; frozen features will "
    "not reproduce it."
)

TRAIN, VALIDATION = 356, 76  # videos of the official split
_LACKING = 5  # so many of them may be missing or without annotation


# (system, partition, fold, M, window) -> (valence, arousal). A system is a head, with its preset
# after a colon; the test set belongs to no fold. Papers that vary M report their main results with
# the best, M = 3; where a paper does not state M, it is that of the released code.
PUBLISHED: dict[tuple[str, str, int | None, int | None, int], tuple[float, float]] = {
    ("lfan", "validation", 0, None, 300): (0.469, 0.649),
    ("jca", "validation", 0, None, 300): (0.663, 0.584),
    ("rjca", "validation", 0, 3, 300): (0.443, 0.639),
    ("dca", "validation", 0, 2, 300): (0.451, 0.647),
    ("grjca", "validation", 0, 3, 300): (0.459, 0.652),
    ("hgrjca", "validation", 0, 3, 300): (0.464, 0.660),
    ("tagf", "validation", 0, 2, 300): (0.427, 0.676),
    ("sage", "validation", 0, None, 300): (0.509, 0.674),
    ("transformer:ctyunai", "validation", 0, None, 300): (0.550, 0.681),
    ("transformer:hfut-mac", "validation", 0, None, 300): (0.554, 0.659),
    ("transformer:situ-rucaim3", "validation", 0, None, 300): (0.588, 0.668),
    ("transformer:netease-fuxi", "validation", 0, None, 300): (0.464, 0.640),
    ("grjca", "test", None, 3, 300): (0.556, 0.605),
    ("hgrjca", "test", None, 3, 300): (0.561, 0.620),
    ("tagf", "test", None, 2, 300): (0.512, 0.568),
    ("mstcn", "test", None, None, 300): (0.577, 0.623),
}
# GRJCA, table 2: fold 1, M = 1 to 4.
for _system, _valence, _arousal in (
    ("rjca", (0.571, 0.575, 0.582, 0.580), (0.649, 0.653, 0.659, 0.652)),
    ("grjca", (0.585, 0.593, 0.601, 0.596), (0.658, 0.664, 0.668, 0.661)),
    ("hgrjca", (0.591, 0.606, 0.623, 0.617), (0.660, 0.669, 0.671, 0.662)),
):
    for _m, _pair in enumerate(zip(_valence, _arousal, strict=True), start=1):
        PUBLISHED[_system, "validation", 1, _m, 300] = _pair
for _fold, _pair in enumerate(
    ((0.367, 0.663), (0.479, 0.616), (0.597, 0.668), (0.569, 0.623), (0.605, 0.653), (0.405, 0.618))
):
    PUBLISHED["mstcn", "validation", _fold, None, 300] = _pair


def published(
    config: FitConfig, videos: tuple[int, int], partition: str = "validation"
) -> tuple[float, float] | None:
    """What is published for exactly the settings of a fit, as (valence, arousal).

    Args:
        config: of the fit. The split must be `aff-wild2`, the variant that of the released code
            (or the paper's where there is none), and no option of the head but `preset` be set.
        videos: how many videos train and validate, which must be those of Aff-Wild2.
        partition: validation or test.
    """
    config = config.resolved()
    options = dict(config.head_options)
    preset = options.pop("preset", None)
    if config.split != "aff-wild2" or options or not _is_aff_wild2(config.fold, videos):
        return None
    if config.variant != describe_head(config.head).variants[0]:
        return None
    system = f"{config.head}:{preset}" if preset else config.head
    fold = config.fold if partition == "validation" else None
    return PUBLISHED.get((system, partition, fold, config.recursions, config.window))


def _is_aff_wild2(fold: int, videos: tuple[int, int]) -> bool:
    """Whether a fold of the papers has so many training and validation videos."""
    chunk = TRAIN // 5
    validation = VALIDATION if fold == 0 else chunk + (TRAIN - 5 * chunk if fold == 1 else 0)
    expected = TRAIN + VALIDATION - validation, validation
    return all(0 <= e - v <= _LACKING for e, v in zip(expected, videos, strict=True))
