"""Damages files the way disks, cables and cut-off downloads do; the same seed, the same damage."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_INDEX_BYTES = 65536  # at the ends of a file, where containers keep their structure


def flip(path: Path, at: int = -1, bits: int = 1) -> None:
    """Flip these bits of one byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= bits
    path.write_bytes(data)


def _flip(rate: float, ends: bool = False) -> Callable:
    """Flip one bit in a share of the bytes, everywhere or only near the ends of the file."""

    def damage(data: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        places = np.arange(len(data))
        if ends:
            places = places[(places < _INDEX_BYTES) | (places >= len(data) - _INDEX_BYTES)]
        hit = rng.choice(places, max(1, round(rate * len(places))), replace=False)
        data[hit] ^= (1 << rng.integers(0, 8, len(hit))).astype(np.uint8)
        return data

    return damage


def _truncate(data: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return data[: rng.integers(1, len(data))]


def _splice(data: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The beginning of one file and the end of another."""
    return np.concatenate([data[: rng.integers(1, len(data))], other[rng.integers(len(other)) :]])


def _transplant(data: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A stretch of another file in the middle; the length stays."""
    first, stop = np.sort(rng.integers(0, len(data), 2))
    data[first:stop] = np.resize(other, stop - first)
    return data


def _zero(data: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    for _ in range(rng.integers(1, 6)):
        first = rng.integers(len(data))
        data[first : first + rng.integers(1, max(2, len(data) // 10))] = 0
    return data


def _remove(data: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    first = rng.integers(len(data))
    return np.delete(data, slice(first, first + rng.integers(1, max(2, len(data) // 10))))


KINDS: dict[str, Callable] = {
    "flip-1e-6": _flip(1e-6),
    "flip-1e-5": _flip(1e-5),
    "flip-1e-4": _flip(1e-4),
    "flip-1e-2": _flip(1e-2),
    "flip-ends": _flip(1e-3, ends=True),
    "truncate": _truncate,
    "splice": _splice,
    "transplant": _transplant,
    "zero": _zero,
    "remove": _remove,
}


@dataclass(frozen=True)
class Damaged:
    """One damaged copy.

    Attributes:
        path: the copy; its name tells seed, kind and clip.
        clip: what it is a copy of.
        kind: of `KINDS`.
        seed: makes the same damage again.
    """

    path: Path
    clip: Path
    kind: str
    seed: int


def write_damaged(folder: Path, clips: Sequence[Path], seeds: Sequence[int]) -> list[Damaged]:
    """Write one damaged copy per seed; clips and kinds take turns, so that all pairs occur."""
    copies = []
    for seed in seeds:
        turn, which = divmod(seed, len(clips))
        kind = list(KINDS)[(turn + which) % len(KINDS)]
        clip, other = clips[which], clips[(which + 1) % len(clips)]
        rng = np.random.default_rng(seed)
        data, second = (np.frombuffer(p.read_bytes(), np.uint8).copy() for p in (clip, other))
        path = folder / f"{seed:03d}-{kind}-{clip.stem}{clip.suffix}"
        path.write_bytes(KINDS[kind](data, second, rng).tobytes())
        copies.append(Damaged(path, clip, kind, seed))
    return copies
