"""Draws the pictures of the documentation: `python docs/pictures/draw.py` writes the SVG files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

FACE, VOICE, GREY, DARK, PALE = "#00796b", "#c75b06", "#607d8b", "#263238", "#eceff1"


class Picture:
    """Shapes on a white sheet; lengths in pixels."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._size, self._title, self._shapes = (width, height), title, list[str]()

    def box(self, x: float, y: float, w: float, h: float, fill: str, stroke: str = "none") -> None:
        """A rectangle."""
        place = f'x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" rx="3"'
        self._shapes.append(f'<rect {place} fill="{fill}" stroke="{stroke}"/>')

    def way(self, points: Iterable[tuple[float, float]], stroke: str, dash: str = "") -> None:
        """A line through points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        line = f'fill="none" stroke="{stroke}" stroke-width="2"{dashes}'
        self._shapes.append(f'<polyline points="{path}" {line}/>')

    def arrow(self, x: float, y: float, to: float, stroke: str = DARK) -> None:
        """A horizontal one."""
        self.way([(x, y), (to, y)], stroke)
        self.way([(to - 6, y - 4), (to, y), (to - 6, y + 4)], stroke)

    def dot(self, x: float, y: float, fill: str) -> None:
        """A small disc."""
        self._shapes.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}"/>')

    def text(self, x: float, y: float, words: str, fill: str = DARK, at: str = "start") -> None:
        """Words that begin, are centred or end at x."""
        style = f'fill="{fill}" text-anchor="{at}"'
        self._shapes.append(f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>')

    def __str__(self) -> str:
        w, h = self._size
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" '
            f'height="{h}" role="img" font-family="sans-serif" font-size="13">\n'
            f"<title>{escape(self._title)}</title>\n"
            f'<rect width="{w}" height="{h}" rx="6" fill="#ffffff"/>\n'
        )
        return head + "\n".join(self._shapes) + "\n</svg>\n"


def stages() -> Picture:
    """Videos, cache, fits."""
    p = Picture(720, 150, "Videos are read once, the cache again and again")
    for number in range(3):
        p.box(16 + 8 * number, 34 + 10 * number, 96, 58, PALE, GREY)
    p.text(80, 88, "videos", at="middle")
    p.arrow(140, 74, 254)
    p.text(196, 64, "vapipe extract", FACE, "middle")
    p.text(196, 94, "once", GREY, "middle")
    p.box(262, 24, 150, 102, PALE, GREY)
    p.text(337, 44, "cache", at="middle")
    for number in range(9):
        p.box(278, 54 + 7 * number, 56, 5, FACE)
        p.box(340, 54 + 7 * number, 56, 5, VOICE)
    for number in range(4):
        y = 36 + 25 * number
        p.arrow(418, y, 540)
        p.box(548, y - 9, 150, 18, PALE, GREY)
        p.text(556, y + 5, ("GRJCA", "TAGF, three seeds", "voice alone", "your own head")[number])
    p.text(480, 140, "vapipe fit: as often as you like", GREY, "middle")
    return p


def rows() -> Picture:
    """Frames at their times, and what each stream takes of the sound for one row."""
    p = Picture(720, 330, "Every stream has one row per frame, at the frame's presentation time")
    times = [0, 33, 67, 100, 142, 175, 217, 250, 283, 317]  # ms; frames 4 and 6 come late
    left, scale = 120, 1.68

    def x(ms: float) -> float:
        return left + scale * ms

    p.text(12, 48, "frames")
    for number, (start, stop) in enumerate(zip(times, [*times[1:], 350], strict=True)):
        p.box(x(start) + 1, 30, scale * (stop - start) - 2, 28, PALE, FACE)
        p.text(x((start + stop) / 2), 49, str(number), FACE, "middle")
        p.way([(x(start), 58), (x(start), 66)], FACE)
    p.text(x(0), 20, "rows; row 5 is drawn out below", GREY)
    p.text(12, 100, "sound")
    p.box(x(60), 84, scale * 290, 22, "#fde7d3", VOICE)
    p.text(x(66), 100, "the track begins 60 ms late", VOICE)
    for y, name in ((140, "onet"), (180, "logmel"), (220, "vggish"), (260, "wavlm")):
        p.text(12, y + 14, name)
    row, after = x(times[5]), x(times[6])
    for place in (row, after):
        p.way([(place, 66), (place, 290)], GREY, "3 4")
    p.box(row + 1, 140, after - row - 2, 20, PALE, FACE)
    p.text(after + 8, 155, "the picture that is shown", GREY)
    p.box(row + 1, 180, after - row - 2, 20, "#fde7d3", VOICE)
    p.text(after + 8, 195, "power of exactly this interval", GREY)
    p.box(left, 220, 588, 20, "#fde7d3", VOICE)
    p.text(left + 8, 235, "0.96 s around pts[5] (longer than drawn)", VOICE)
    for number in range(17):
        p.dot(x(12.5 + 20 * number), 270, GREY if 12.5 + 20 * number < 60 else VOICE)
    p.text(left, 296, "a feature every 20 ms; the row lies between the two around pts[5]", GREY)
    p.text(row, 316, "pts[5]", at="middle")
    p.text(after, 316, "pts[6]", at="middle")
    p.text(x(0), 126, "rows 0 and 1: NO_AUDIO", GREY)
    return p


def drift() -> Picture:
    """How far a hop of whole samples leads astray, from its formula."""
    p = Picture(720, 316, "A hop rounded to whole samples drifts; positions from times do not")
    left, middle, per_minute, per_frame = 60, 165, 5.0, 0.8

    def at(minutes: float, frames: float) -> tuple[float, float]:
        return left + per_minute * minutes, middle - per_frame * frames

    for frames in (-150, -100, -50, 0, 50, 100, 150):
        p.way([at(0, frames), at(120, frames)], PALE)
        p.text(left - 8, at(0, frames)[1] + 4, f"{frames:+d}" if frames else "0", GREY, "end")
    for minutes in (0, 30, 60, 90, 120):
        p.text(at(minutes, 0)[0], 308, f"{minutes} min", GREY, "middle")
    p.text(left, 20, "frames off at 16 kHz, if every frame counts round(16000 / fps) samples")
    rates = {24000: "#5e35b1", 30000: FACE, 30030: VOICE, 60000: "#1565c0"}
    for thousands, colour in rates.items():
        fps = thousands / 1001
        end = (round(16000 / fps) * fps / 16000 - 1) * fps * 7200
        p.way([at(0, 0), at(120, end)], colour)
        x, y = at(120, end)
        p.text(x - 6, y + (-12 if end > 0 else 18), f"{fps:.2f} fps: {end:+.1f}", colour, "end")
    p.way([at(0, 0), at(120, 0)], DARK)
    p.text(at(120, 0)[0] - 6, at(0, 0)[1] - 6, "vapipe: 0 at every rate", DARK, "end")
    return p


def windows() -> Picture:
    """Windows of a video of 760 rows, and of one that is shorter than a window."""
    p = Picture(720, 210, "Windows of 300 rows, stride 200, a tail window, padding")
    left, scale = 120, 0.74

    def bar(y: float, start: float, stop: float, fill: str, words: str) -> None:
        p.box(left + scale * start, y, scale * (stop - start), 18, fill, GREY)
        p.text(left + scale * start + 6, y + 14, words)

    p.text(12, 32, "760 rows")
    bar(18, 0, 760, PALE, "")
    p.box(left + scale * 330, 18, scale * 50, 18, "#ffcdd2", GREY)
    p.text(left + scale * 355, 14, "-5: masked, kept in place", GREY, "middle")
    for number, start in enumerate((0, 200, 400)):
        bar(46 + 22 * number, start, start + 300, "#d8efec", f"rows {start} to {start + 299}")
    bar(112, 460, 760, "#fde7d3", "the tail: ends at the last row")
    p.text(12, 168, "120 rows")
    bar(154, 0, 120, PALE, "")
    bar(178, 0, 120, "#d8efec", "all rows")
    p.box(left + scale * 120, 178, scale * 180, 18, "#ffffff", GREY)
    p.text(left + scale * 126, 192, "padding, ignored", GREY)
    p.text(left + scale * 330, 192, "where windows overlap, predictions are averaged", GREY)
    return p


PICTURES = {"stages": stages, "rows": rows, "drift": drift, "windows": windows}


def main() -> None:
    """Write all pictures beside this file."""
    for name, draw in PICTURES.items():
        Path(__file__).with_name(f"{name}.svg").write_text(str(draw()))


if __name__ == "__main__":
    main()
