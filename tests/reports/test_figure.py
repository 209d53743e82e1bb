"""Figures for papers: the right values, fit for print, and clear about what is missing."""

import dataclasses
import itertools
import re
import sys
import xml.etree.ElementTree
import zlib

import numpy as np
import pytest
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from terminal import vapipe_

from vapipe.cache import CacheError, ConfigError
from vapipe.fusion import Corruption, evaluate, fit
from vapipe.fusion.evaluation.corruption import KINDS
from vapipe.fusion.evaluation.robustness import record_points
from vapipe.reports import figure, figure_panels, measures
from vapipe.reports.figure import DRAWINGS, FORMATS, WIDTHS, write_figure
from vapipe.reports.records import read_record
from vapipe.reports.truth import read_runs

VIDEOS = ("video6", "video7")


@pytest.fixture(scope="module")
def runs(planted, small, fitted, tmp_path_factory):
    """GRJCA with robustness curves, LFAN with two networks, and concat, which has no gates."""
    folder = tmp_path_factory.mktemp("drawn")
    found = {}
    for head, targets in (("grjca", "joint"), ("lfan", "per_target"), ("concat", "joint")):
        options = {"dropout": 0.2} if head == "grjca" else {}
        config = dataclasses.replace(
            small, head=head, epochs=2, targets=targets, head_options=options
        )
        found[head] = fit(planted, config, folder / f"{head}-1").run_dir
    for kind, severities in (("drop-audio", (1.0, 0.0, 0.5)), ("noise-video", (0.0, 2.0))):
        damages = [Corruption(kind, severity) for severity in severities]
        points = [evaluate(found["grjca"], planted, corruption=d) for d in damages]
        record_points(found["grjca"], points)
    return found


def panel(draw, *arguments):
    """What a drawing puts onto an empty subfigure."""
    part = Figure().subfigures(1, 1)
    draw(*arguments, part)
    return part.get_axes()


# -- the right values ------------------------------------------------------------------------------


def test_trajectories_are_the_predictions_of_the_rows_and_gaps_stay_gaps(runs, planted):
    records, truth = read_runs([runs["grjca"], runs["lfan"]], "validation", None)
    item = next(each for each in truth if each.video == "video7")
    labels = item.labels.copy()
    labels[5:9] = np.nan
    item = dataclasses.replace(item, labels=labels)
    rows = slice(2, 20)
    axes = panel(figure_panels.trajectories, records, figure_panels.Stretch(item, rows))
    assert [ax.get_ylabel() for ax in axes] == ["valence", "arousal"]
    for column, ax in enumerate(axes):
        annotation, *drawn = (line for line in ax.lines if len(line.get_xdata()) > 2)
        assert np.array_equal(annotation.get_xdata(), item.pts[rows])
        assert np.array_equal(annotation.get_ydata(), labels[rows, column], equal_nan=True)
        assert np.isnan(annotation.get_ydata()).sum() == 4
        for record, line in zip(records, drawn, strict=True):
            assert line.get_label() == record.name
            assert np.array_equal(line.get_ydata(), record.predictions["video7"][rows, column])


@pytest.mark.parametrize("head", ["grjca", "lfan"])
def test_gates_are_those_of_the_run_under_their_names(runs, head):
    (record,), truth = read_runs([runs[head]], "validation", None)
    grid = figure_panels.gate_grid(record)
    item = truth[0]
    shown = figure_panels.Stretch(item, slice(None))
    axes = panel(figure_panels.gates, record, grid, shown)
    drawn = [line.get_ydata() for ax in axes for line in ax.lines]
    networks = len(record.gates.groups) // len(grid)
    ordered = [p for row in grid for p in row]
    assert len(axes) == len(record.gates.groups) == networks * len(grid)
    first = 0
    columns = {}
    for group in record.gates.groups:
        columns[group.network, group.gate] = slice(first, first + group.size)
        first += group.size
    expected = [
        record.gates.values[item.video][:, columns[p.network, p.gate]][:, i]
        for p in ordered
        for i in range(len(p.names))
    ]
    assert all(np.array_equal(a, b) for a, b in zip(drawn, expected, strict=True))
    histograms = panel(figure_panels.gate_histograms, record, grid)
    frames = sum(map(len, record.predictions.values()))
    for ax, one in zip(histograms, ordered, strict=True):
        for patch in ax.patches:
            corners = patch.get_xy()
            edges = np.unique(corners[:, 0])
            heights = corners[1 : 2 * len(edges) - 1 : 2, 1]
            assert heights.sum() == frames
        assert len(ax.patches) == len(one.names)


def test_the_plane_counts_every_annotated_frame_once(runs, planted):
    records, truth = read_runs(list(runs.values()), "validation", None)
    found = measures.planes(records, truth)
    planes = [(name, np.array(measures.density(own))) for name, own in found]
    annotated = sum(np.isfinite(planted.labels(v)).all(axis=1).sum() for v in VIDEOS)
    assert [name for name, _ in planes] == ["annotation", *(r.name for r in records)]
    assert [counts.sum() for _, counts in planes] == [annotated] * 4
    axes = panel(figure_panels.plane, planes, 4)
    for (_, counts), ax in zip(planes, axes, strict=False):
        drawn = ax.collections[0].get_array()
        assert np.array_equal(np.ma.filled(drawn, 0).reshape(counts.shape), counts)


def test_robustness_curves_are_the_measured_points_in_order(runs):
    record = read_record("GRJCA", runs["grjca"], "validation")
    kinds = figure_panels.kinds([record])
    assert kinds == ["drop-audio", "noise-video"]
    axes = panel(figure_panels.robustness, [record], kinds, 2)
    for row, target in enumerate(("valence", "arousal")):
        for column, kind in enumerate(kinds):
            points = [p for p in record.points if p["corruption"]["kind"] == kind]
            expected = sorted((p["corruption"]["severity"], p["ccc"][target]) for p in points)
            (line,) = axes[2 * row + column].lines
            assert line.get_xydata().tolist() == [list(pair) for pair in expected]


def test_points_of_several_seeds_are_their_mean(runs):
    record = read_record("GRJCA", runs["grjca"], "validation")
    extra = []
    for point in record.points:
        other = {**point["corruption"], "seed": 1}
        extra.append({**point, "corruption": other, "ccc": dict.fromkeys(point["ccc"], 0.0)})
    both = dataclasses.replace(record, points=record.points + extra)
    for one, two in zip(
        panel(figure_panels.robustness, [record], ["drop-audio"], 1),
        panel(figure_panels.robustness, [both], ["drop-audio"], 1),
        strict=True,
    ):
        assert np.allclose(two.lines[0].get_ydata(), one.lines[0].get_ydata() / 2)
        assert not two.collections  # no interval of a mean of seeds


def test_every_damage_has_a_unit():
    for kind in KINDS:
        assert figure_panels.severity_unit(kind)


# -- fit for print ---------------------------------------------------------------------------------


def streams_of(pdf):
    """The text of a PDF with its streams inflated."""
    parts = [pdf]
    for block in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S):
        try:
            parts.append(zlib.decompress(block))
        except zlib.error:
            parts.append(block)
    return b"\n".join(parts)


def test_a_pdf_has_its_fonts_inside_and_the_width_of_its_columns(runs, tmp_path):
    for width, inches in WIDTHS.items():
        drawn = write_figure(
            [runs["grjca"]], tmp_path / "figure.pdf", drawings=["plane", "gates"], width=width
        )
        pdf = streams_of((tmp_path / "figure.pdf").read_bytes())
        box = re.search(rb"/MediaBox \[ ?([\d. ]+) ?\]", pdf).group(1).split()
        assert [float(x) / 72 for x in box[2:]] == pytest.approx(drawn.inches, abs=0.01)
        assert drawn.inches[0] == inches
        assert b"/FontFile2" in pdf
        assert b"/Type3" not in pdf
        assert b"/Subtype /Image" not in pdf


def test_an_svg_is_drawn_without_fonts_or_pixels(runs, tmp_path):
    write_figure([runs["grjca"]], tmp_path / "figure.svg")
    root = xml.etree.ElementTree.parse(tmp_path / "figure.svg").getroot()
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "path" in tags
    assert not tags & {"text", "image"}
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(72 * WIDTHS["double"])


def test_a_png_has_the_dots_of_print(runs, tmp_path):
    drawn = write_figure(
        [runs["lfan"]], tmp_path / "figure.PNG", drawings=["gate-histograms"], width="single"
    )
    with Image.open(tmp_path / "figure.PNG") as image:
        assert image.size == pytest.approx([300 * inches for inches in drawn.inches], abs=1)


@pytest.mark.parametrize("suffix", list(FORMATS))
def test_equal_runs_give_equal_files(runs, tmp_path, suffix):
    files = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for file in files:
        write_figure([runs["grjca"]], file, drawings=["robustness"])
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("width", "heads"), zip(WIDTHS, (["grjca"], ["grjca", "lfan", "concat"]), strict=True)
)
def test_all_words_are_readable_inside_and_apart(runs, tmp_path, monkeypatch, width, heads):
    kept = []
    compose = figure.compose
    monkeypatch.setattr(figure, "compose", lambda *given: kept.append(compose(*given)) or kept[0])
    write_figure([runs[head] for head in heads], tmp_path / "f.svg", width=width)
    (page,) = kept
    with rc_context(figure.STYLE):
        page.draw_without_rendering()
    found = [(text, text.get_window_extent()) for text in words_of(page)]
    assert len(found) > 20
    for text, box in found:
        assert text.get_fontsize() >= 6
        assert page.bbox.padded(1).fully_containsx(box.x0), text
        assert page.bbox.padded(1).fully_containsx(box.x1), text
        assert page.bbox.padded(1).fully_containsy(box.y0), text
        assert page.bbox.padded(1).fully_containsy(box.y1), text
    for (one, a), (two, b) in itertools.combinations(found, 2):
        assert not a.padded(-0.5).fully_overlaps(b.padded(-0.5)), f"{one} lies on {two}"


def words_of(page):
    """All text that is drawn; of the ticks those within the axes."""
    axes = [ax for ax in page.findobj(Axes) if ax.get_visible()]
    ticks = {text for ax in page.findobj(Axes) for text in ax.findobj(Text)}
    drawn = [text for text in page.findobj(Text) if text not in ticks]
    for ax in axes:
        drawn += [ax.title, ax.xaxis.label, ax.yaxis.label]
        for axis in (ax.xaxis, ax.yaxis):
            drawn += [tick.label1 for tick in axis._update_ticks() if tick.label1.get_visible()]
    return [text for text in drawn if text.get_visible() and text.get_text().strip()]


# Machado et al. 2009: linear RGB as seen without one kind of cones.
BLIND = {
    "normal": np.eye(3),
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}


@pytest.mark.parametrize("eyes", list(BLIND))
def test_colours_differ_also_for_colour_blind_readers(eyes):
    seen = [np.clip(BLIND[eyes] @ (np.array(to_rgb(c)) ** 2.2), 0, 1) ** (1 / 2.2)
            for c in figure_panels.COLOURS]  # fmt: skip
    apart = [np.abs(a - b).max() for a, b in itertools.combinations(seen, 2)]
    assert min(apart) > 0.1


# -- what goes in ----------------------------------------------------------------------------------


def test_everything_that_the_runs_have_is_drawn_and_the_rest_is_named(runs, tmp_path):
    result = vapipe_("figure", runs["grjca"], runs["concat"], "--out", tmp_path / "f.svg")
    assert result.exit_code == 0, result.stderr
    assert "note: concat-1 has a head without gates (concat)" in result.stdout
    assert "note: concat-1 has no robustness curve; `vapipe evaluate " in result.stdout
    assert f"{tmp_path / 'f.svg'}: {', '.join(DRAWINGS)} of video" in result.stdout
    assert "; 7.16 x " in result.stdout
    drawn = write_figure([runs["concat"]], tmp_path / "g.svg")
    assert drawn.drawings == ["trajectories", "plane"]


def test_gates_that_are_not_stored_are_asked_for(runs, tmp_path):
    import shutil

    run = shutil.copytree(runs["lfan"], tmp_path / "run")
    (run / "gates-validation.safetensors").unlink()
    drawn = write_figure([run], tmp_path / "f.svg")
    assert f"run has no gates stored; `vapipe evaluate {run} --partition validation --gates`" in (
        drawn.notes
    )


def test_the_video_is_that_of_median_agreement_unless_it_is_named(runs, tmp_path):
    (record,), _ = read_runs([runs["grjca"]], "validation", None)
    means = {v: np.mean(list(own.values())) for v, own in record.evaluation["per_video"].items()}
    drawn = write_figure([runs["grjca"]], tmp_path / "f.svg", drawings=["trajectories"])
    assert drawn.videos == [sorted(means, key=means.get)[len(means) // 2]]
    named = write_figure(
        [runs["grjca"]], tmp_path / "f.svg", drawings=["trajectories"], videos=VIDEOS[::-1]
    )
    assert named.videos == list(VIDEOS[::-1])


def test_a_figure_higher_than_a_page_says_so(runs, tmp_path):
    drawn = write_figure([runs["grjca"], runs["lfan"]], tmp_path / "f.svg", width="single")
    assert drawn.inches[1] > 9.5
    assert "the figure is higher than a page (9.5 inches); --draw chooses parts" in drawn.notes


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--out", "f.gif"], 1, "f.gif: the suffix says the format of a figure and may be .pdf"),
        (["--out", "f"], 1, "f: the suffix says the format of a figure"),
        ([], 2, "Missing option '--out'"),
        (["--out", "f.pdf", "--draw", "pie"], 2, "'pie' is not one of 'trajectories', 'gates'"),
        (["--out", "f.pdf", "--video", "v"], 1, "v is none of the 2 videos that the runs were"),
        (["--out", "f.pdf", "--seconds", 3, 1], 1, "run from less to more; got 3 to 1"),
        (["--out", "f.pdf", "--seconds", 90, 99], 1, "between 90 and 99 s; it runs from 0.00 to"),
        (["--out", "f.pdf", "--label", "a", "--label", "b"], 1, "2 labels for 1 run"),
        (["--out", "f.pdf", "--partition", "test"], 1, "was not evaluated on the partition test"),
        (["--out", "f.pdf", "--draw", "gates"], 1, "nothing to draw as gates: concat-1 has a head"),
        (
            ["--out", "f.pdf", "--draw", "robustness"],
            1,
            "nothing to draw as robustness: concat-1 has no robustness curve; `vapipe evaluate",
        ),
    ],
)
def test_what_cannot_be_is_one_message_and_no_file(
    runs, tmp_path, monkeypatch, words, code, message
):
    monkeypatch.chdir(tmp_path)
    result = vapipe_("figure", runs["concat"], *words)
    assert result.exit_code == code
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_what_python_callers_give_is_checked_too(runs, tmp_path):
    with pytest.raises(ConfigError, match="nothing is drawn as pie; there are: trajectories"):
        write_figure([runs["concat"]], tmp_path / "f.pdf", drawings=["pie"])
    with pytest.raises(ConfigError, match="as wide as a single or double column, not `wide`"):
        write_figure([runs["concat"]], tmp_path / "f.pdf", width="wide")
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot write"):
        write_figure([runs["concat"]], tmp_path / "file" / "f.pdf", drawings=["plane"])


def test_without_matplotlib_the_extra_is_named(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = vapipe_("figure", runs["concat"], "--out", tmp_path / "f.pdf")
    assert result.exit_code == 1
    assert "`vapipe figure` needs the package matplotlib, which cannot be imported" in result.stderr
    assert "pip install 'vapipe[figures]'" in result.stderr
