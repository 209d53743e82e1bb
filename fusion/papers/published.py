"""Concordances that the papers report on the official validation set of Aff-Wild2 (fold 0)."""

from __future__ import annotations

NOTE = (
    "Published: validation CCC on the official split of Aff-Wild2 (fold 0) as the papers report "
    "it, with fine-tuned backbones and pixel augmentation; frozen features will not reproduce it."
)

# Name here -> (valence, arousal); `transformer` has four entries, one per preset.
PUBLISHED = {
    "lfan": (0.469, 0.649),
    "jca": (0.663, 0.584),
    "rjca": (0.443, 0.639),
    "dca": (0.451, 0.647),
    "grjca": (0.459, 0.652),
    "hgrjca": (0.464, 0.660),
    "tagf": (0.427, 0.676),
    "sage": (0.509, 0.674),
    "mstcn": (0.367, 0.663),
    "transformer:ctyunai": (0.550, 0.681),
    "transformer:hfut-mac": (0.554, 0.659),
    "transformer:situ-rucaim3": (0.588, 0.668),
    "transformer:netease-fuxi": (0.464, 0.640),
}


def published(head: str, preset: str | None) -> tuple[float, float] | None:
    """What is published for a head (and preset), if anything."""
    return PUBLISHED.get(f"{head}:{preset}" if preset else head)
