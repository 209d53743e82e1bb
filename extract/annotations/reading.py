"""How annotations are to be read, as far as the files do not say it themselves."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError

INTERPOLATIONS = ("linear", "nearest")
ANNOTATORS = ("mean", "ewe")
UNIT_SCALE = (-1.0, 1.0)
_SCALE = re.compile(r"(?:(?P<target>[^=]+)=)?(?P<low>-?[\d.]+?)\.\.(?P<high>-?[\d.]+)")


@dataclass(frozen=True)
class Reading:
    """What a user says of annotations; empty and None leave it to the files.

    Attributes:
        columns: what the columns are, in order; `-` for one that is not used.
        rate: rows per second, of files without times.
        scale: (target, low, high) of the values; "" stands for all other targets.
        delay: seconds by which the annotation lags behind the picture.
        interpolation: `linear` between samples, or `nearest`.
        gap: seconds between samples beyond which there is no annotation; None is three times the
            median step, and one and a half where samples are numbered frames.
        annotators: how several annotators become one: `mean`, or `ewe` (evaluator-weighted).
        targets: what is annotated, where it is not what the columns are called.
        missing: further values that stand where nothing is annotated, as -5 does in Aff-Wild2.
    """

    columns: tuple[str, ...] = ()
    rate: float | None = None
    scale: tuple[tuple[str, float, float], ...] = ()
    delay: float = 0.0
    interpolation: str = "linear"
    gap: float | None = None
    annotators: str = ""
    targets: tuple[str, ...] = ()
    missing: tuple[float, ...] = ()

    @classmethod
    def parse(
        cls,
        *,
        scale: str = "",
        columns: str = "",
        targets: str = "",
        missing: float | None = None,
        **options: Any,
    ) -> Reading:
        """Make one of what is typed: `-10..10`, `arousal=0..1,valence=-1..1`, names with commas.

        Raises:
            ConfigError: something cannot be meant.
        """
        return cls(
            columns=_names(columns),
            scale=tuple(_scale(part) for part in _names(scale)),
            targets=_names(targets),
            missing=() if missing is None else (missing,),
            **{name: value for name, value in options.items() if value is not None},
        )

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name, value, known in (
            ("--interpolation", self.interpolation, INTERPOLATIONS),
            ("--annotators", self.annotators, ("", *ANNOTATORS)),
        ):
            if value not in known:
                raise ConfigError(f"{name} {value}: one of {', '.join(filter(None, known))}")
        if self.rate is not None and not self.rate > 0:
            raise ConfigError(f"--rate {self.rate:g}: rows per second, more than 0")
        if self.gap is not None and not self.gap > 0:
            raise ConfigError(f"--gap {self.gap:g}: seconds, more than 0")
        if not abs(self.delay) < 60:
            raise ConfigError(f"--delay {self.delay:g}: seconds, less than 60; usual are 2 to 4")

    def range_of(self, target: str) -> tuple[float, float]:
        """Lowest and highest value that a target can have."""
        ranges = {name: (low, high) for name, low, high in self.scale}
        return ranges.get(target, ranges.get("", UNIT_SCALE))

    def to_json(self) -> dict[str, Any]:
        """What is said, as JSON-able values."""
        bare = Reading()
        return {
            option.name: _listed(getattr(self, option.name))
            for option in dataclasses.fields(self)
            if getattr(self, option.name) != getattr(bare, option.name)
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Reading:
        """What `to_json` gave."""
        return cls(**{name: _tupled(value) for name, value in values.items()})

    def words(self) -> str:
        """The options as they are typed."""
        scale = ",".join(f"{t}={a:g}..{b:g}" if t else f"{a:g}..{b:g}" for t, a, b in self.scale)
        typed = {
            "columns": ",".join(self.columns),
            "rate": f"{self.rate:g}" if self.rate else "",
            "scale": scale,
            "delay": f"{self.delay:g}" if self.delay else "",
            "interpolation": "" if self.interpolation == "linear" else self.interpolation,
            "gap": f"{self.gap:g}" if self.gap else "",
            "annotators": self.annotators,
            "targets": ",".join(self.targets),
            "missing": ",".join(f"{value:g}" for value in self.missing),
        }
        return " ".join(f"--{name} {value}" for name, value in typed.items() if value)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip().lower() for name in text.split(",") if name.strip())


def _scale(text: str) -> tuple[str, float, float]:
    match = _SCALE.fullmatch(text.replace(" ", ""))
    try:
        low, high = (float(match["low"]), float(match["high"])) if match else (0.0, 0.0)
    except ValueError:
        low = high = 0.0
    if match is None or not low < high:
        raise ConfigError(
            f"--scale {text}: give the lowest and the highest value, e.g. -10..10 or 1..9, or "
            "arousal=0..1,valence=-1..1"
        )
    return match["target"] or "", low, high


def _listed(value: Any) -> Any:
    return (
        [_listed(each) for each in value]
        if isinstance(value, tuple | Sequence) and not (isinstance(value, str))
        else value
    )


def _tupled(value: Any) -> Any:
    return tuple(_tupled(each) for each in value) if isinstance(value, list) else value
