"""Annotations as people have them are taken right, or refused with what to type next."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import LabelError, Timeline
from vapipe.cache.labels import interpolate
from vapipe.extract.annotations.item import read_labels
from vapipe.extract.annotations.reading import Reading
from vapipe.extract.dataset import find_dataset

ROWS, FPS = 100, 25.0
TIMELINE = Timeline(np.arange(ROWS) / FPS, FPS)
DURATION = ROWS / FPS


def valence(seconds):
    """A slow signal; over 0.1 s a line misses it by less than 0.01."""
    return 0.8 * np.sin(1.5 * np.asarray(seconds))


def arousal(seconds):
    return 0.6 * np.cos(1.1 * np.asarray(seconds))


def table(times, *, sep=",", head="time,valence,arousal", scale=1.0, comma=False, first=str):
    """Rows of time, valence and arousal as text."""
    lines = [head.replace(",", sep)] if head else []
    for t in times:
        cells = [f"{valence(t) * scale:.6f}", f"{arousal(t) * scale:.6f}"]
        cells = [first(t), *cells] if first else cells
        lines.append(sep.join(c.replace(".", ",") for c in cells) if comma else sep.join(cells))
    return "\n".join(lines) + "\n"


def rows_only(times=TIMELINE.pts, **options):
    return table(times, first=None, head=options.pop("head", "valence,arousal"), **options)


def every(hertz, seconds=DURATION):
    return np.arange(round(seconds * hertz)) / hertz


def milliseconds(t):
    return f"{t * 1000:.0f}"


def clock(t):
    return f"00:{int(t) // 60:02d}:{t % 60:06.3f}"


def dimension(signal, times=TIMELINE.pts, head="value"):
    return head + "\n" + "".join(f"{v:.6f}\n" for v in signal(times))


def one(signal, times, first=lambda t: f"{t:.3f}", head="time,value", sep=","):
    lines = [head.replace(",", sep)] + [f"{first(t)}{sep}{signal(t):.6f}" for t in times]
    return "\n".join(lines) + "\n"


ARFF = (
    "@relation gold\n% a remark\n@attribute Instance_name string\n"
    "@attribute frameTime numeric\n@attribute GoldStandard numeric\n@data\n"
)
AFEW = {
    "video_id": "clip",
    "actor": "x",
    "frames": {
        f"{n:05d}": {
            "landmarks": [[1, 2]],
            "valence": float(valence(n / FPS) * 10),
            "arousal": float(arousal(n / FPS) * 10),
        }
        for n in range(ROWS)
    },
}
RIGHT = {
    "a row per frame": ({"clip.csv": rows_only()}, {}),
    "of Aff-Wild2": ({"clip.txt": rows_only()}, {}),
    "tabs": ({"clip.tsv": rows_only(sep="\t")}, {}),
    "semicolons": ({"clip.csv": rows_only(sep=";")}, {}),
    "semicolons and decimal commas": ({"clip.csv": rows_only(sep=";", comma=True)}, {}),
    "tabs and decimal commas": ({"clip.txt": rows_only(sep="\t", comma=True)}, {}),
    "spaces": ({"clip.txt": rows_only(sep=" ")}, {}),
    "quoted": (
        {"clip.csv": '"valence","arousal"\n' + rows_only(head="").replace(",", '","')
         .replace("\n", '"\n"').removesuffix('"').join(['"', ""])},
        {},
    ),
    "a mark of UTF-8": ({"clip.csv": "\ufeff" + rows_only()}, {}),
    "UTF-16": ({"clip.csv": rows_only().encode("utf-16")}, {}),
    "UTF-16 without mark": ({"clip.csv": rows_only().encode("utf-16-le")}, {}),
    "lines of Windows": ({"clip.csv": rows_only().replace("\n", "\r\n")}, {}),
    "capitals and spaces": ({"clip.csv": rows_only(head=" Valence , AROUSAL ")}, {}),
    "short names": ({"clip.csv": rows_only(head="v,a")}, {}),
    "the other order": (
        {"clip.csv": "arousal,valence\n" + "".join(
            f"{arousal(t):.6f},{valence(t):.6f}\n" for t in TIMELINE.pts)},
        {},
    ),
    "blanks at the end": ({"clip.csv": rows_only() + "  \n\n \n"}, {}),
    "blank cells at the end": ({"clip.csv": rows_only() + ",\n,\n"}, {}),
    "separators at the ends of lines": ({"clip.csv": rows_only().replace("\n", ",\n")}, {}),
    "remarks before": ({"clip.csv": "# by anna\n# 2024\n" + rows_only()}, {}),
    "the separator named": ({"clip.csv": "sep=;\n" + rows_only(sep=";")}, {}),
    "names in a remark": (
        {"clip.txt": "# valence arousal\n" + rows_only(sep=" ", head="")}, {},
    ),
    "an index": (
        {"clip.csv": table(TIMELINE.pts, head=",valence,arousal",
                           first=lambda t: f"{t * FPS:.0f}")},
        {},
    ),
    "no names": ({"clip.csv": rows_only(head="")}, {"columns": "valence,arousal"}),
    "names that say nothing": ({"clip.csv": rows_only(head="x,y")}, {"columns": "valence,arousal"}),
    "a column too many": (
        {"clip.csv": table(TIMELINE.pts, head="confidence,valence,arousal", first=lambda t: "0.9")},
        {},
    ),
    "times at 10 Hz": ({"clip.csv": table(every(10))}, {}),
    "times at 50 Hz": ({"clip.csv": table(every(50))}, {}),
    "milliseconds by name": (
        {"clip.csv": table(every(10), head="time_ms,valence,arousal", first=milliseconds)}, {},
    ),
    "milliseconds in brackets": (
        {"clip.csv": table(every(20), head="Time [ms],valence,arousal", first=milliseconds)}, {},
    ),
    "milliseconds unsaid": ({"clip.csv": table(every(10), first=milliseconds)}, {}),
    "hours, minutes, seconds": ({"clip.csv": table(every(10), first=clock)}, {}),
    "minutes, seconds": ({"clip.csv": table(every(10), first=lambda t: clock(t)[3:])}, {}),
    "decimal commas with times": ({"clip.csv": table(every(10), sep=";", comma=True)}, {}),
    "no names but times": (
        {"clip.csv": table(every(10), head="")}, {"columns": "time,valence,arousal"},
    ),
    "frames from 0": (
        {"clip.csv": table(TIMELINE.pts, head="frame,valence,arousal",
                           first=lambda t: f"{t * FPS:.0f}")},
        {},
    ),
    "frames from 1": (
        {"clip.csv": table(TIMELINE.pts, head="frame,valence,arousal",
                           first=lambda t: f"{t * FPS + 1:.0f}")},
        {},
    ),
    "names of pictures": (
        {"clip.csv": table(TIMELINE.pts, head="image_location,valence,arousal",
                           first=lambda t: f"clip/{t * FPS + 1:05.0f}.jpg")},
        {},
    ),
    "a rate": ({"clip.csv": rows_only(every(10))}, {"rate": 10}),
    "a scale of -10 to 10": ({"clip.csv": rows_only(scale=10)}, {"scale": "-10..10"}),
    "a scale of -1000 to 1000": ({"clip.csv": rows_only(scale=1000)}, {"scale": "-1000..1000"}),
    "a scale of 1 to 9": (
        {"clip.csv": "valence,arousal\n" + "".join(
            f"{5 + 4 * valence(t)},{5 + 4 * arousal(t)}\n" for t in TIMELINE.pts)},
        {"scale": "1..9"},
    ),
    "a scale for each": (
        {"clip.csv": "valence,arousal\n" + "".join(
            f"{valence(t)},{0.5 + 0.5 * arousal(t)}\n" for t in TIMELINE.pts)},
        {"scale": "arousal=0..1"},
    ),
    "a delay": (
        {"clip.csv": "time,valence,arousal\n" + "".join(
            f"{t + 0.48:.3f},{valence(t):.6f},{arousal(t):.6f}\n" for t in every(25, 3.5))},
        {"delay": 0.48},
    ),
    "a file for each, in folders": (
        {"valence/clip.csv": dimension(valence), "arousal/clip.csv": dimension(arousal)}, {},
    ),
    "a file for each, by name": (
        {"clip_valence.csv": dimension(valence), "clip_arousal.csv": dimension(arousal)}, {},
    ),
    "a file for each in a folder of the video": (
        {"clip/valence.txt": dimension(valence), "clip/arousal.txt": dimension(arousal)}, {},
    ),
    "a file for each, without names": (
        {"valence/clip.txt": dimension(valence).split("\n", 1)[1],
         "arousal/clip.txt": dimension(arousal).split("\n", 1)[1]},
        {},
    ),
    "of MuSe": (
        {f"label_segments/{name}/clip.csv": "timestamp,value,segment_id\n" + "".join(
            f"{t * 1000:.0f},{signal(t):.6f},1\n" for t in every(4))
         for name, signal in (("valence", valence), ("arousal", arousal))},
        {},
    ),
    "of RECOLA": (
        {f"ratings_gold_standard/{name}/clip.arff": ARFF + "".join(
            f"'clip',{t:.2f},{signal(t):.6f}\n" for t in every(25))
         for name, signal in (("valence", valence), ("arousal", arousal))},
        {},
    ),
    "of AFEW-VA": ({"clip.json": json.dumps(AFEW)}, {}),
    "JSON records": (
        {"clip.json": json.dumps([
            {"time": t, "valence": float(valence(t)), "arousal": float(arousal(t))}
            for t in every(10)])},
        {},
    ),
    "two annotators in folders": (
        {"anna/clip.csv": rows_only(), "ben/clip.csv": rows_only()}, {"annotators": "mean"},
    ),
    "annotators in columns": (
        {"clip.csv": "valence_1,valence_2,arousal_1,arousal_2\n" + "".join(
            f"{valence(t):.6f},{valence(t):.6f},{arousal(t):.6f},{arousal(t):.6f}\n"
            for t in TIMELINE.pts)},
        {"annotators": "ewe"},
    ),
    "six annotators a dimension": (
        {f"{name}/clip.csv": "time;FM1;FM2;FM3\n" + "".join(
            f"{t};{signal(t):.6f};{signal(t):.6f};{signal(t):.6f}\n" for t in every(25))
         for name, signal in (("valence", valence), ("arousal", arousal))},
        {"annotators": "ewe"},
    ),
    "a transcript beside it": (
        {"clip.csv": rows_only(), "clip.txt": "Well, I was very glad.\nReally.\n"}, {},
    ),
    "a README beside it": (
        {"clip.csv": rows_only(), "README.txt": "How this was annotated.\n", "._clip.csv": "\0"},
        {},
    ),
    "a table of many videos": (
        {"all.csv": "video,frame,valence,arousal\n" + "".join(
            f"{name}.mp4,{n},{valence(n / FPS):.6f},{arousal(n / FPS):.6f}\n"
            for name in ("other", "clip") for n in range(ROWS))},
        {},
    ),
    "another case": ({"CLIP.csv": rows_only()}, {}),
    "more in the name": ({"clip_annotation.csv": rows_only()}, {}),
    "surplus rows": ({"clip.csv": rows_only(np.arange(ROWS + 5) / FPS)}, {}),
    "a title before": ({"clip.csv": "Annotation of clip\n\n" + rows_only()}, {}),
    "the video's suffix in the name": ({"clip.mp4.csv": rows_only()}, {}),
    "lines of old Macs": ({"clip.csv": rows_only().replace("\n", "\r")}, {}),
    "minus signs of print": ({"clip.csv": rows_only().replace("-", "\N{MINUS SIGN}")}, {}),
    "bars": ({"clip.txt": rows_only(sep="|")}, {}),
    "names of pleasure and activation": ({"clip.csv": rows_only(head="pleasure,activation")}, {}),
    "names with ranges": ({"clip.csv": rows_only(head="Valence [-1..1],Arousal [-1..1]")}, {}),
    "means and deviations": (
        {"clip.csv": "valence_mean,valence_std,arousal_mean,arousal_std\n" + "".join(
            f"{valence(t):.6f},0.1,{arousal(t):.6f},0.2\n" for t in TIMELINE.pts)},
        {},
    ),
    "microseconds": (
        {"clip.csv": table(every(10), head="time_us,valence,arousal",
                           first=lambda t: f"{t * 1e6:.0f}")},
        {},
    ),
    "elapsed seconds": ({"clip.csv": table(every(10), head="Elapsed Seconds,valence,arousal")}, {}),
    "time of the frame": ({"clip.csv": table(every(10), head="frameTime,valence,arousal")}, {}),
    "onsets": ({"clip.csv": table(every(10), head="onset,valence,arousal")}, {}),
    "onsets and durations": (
        {"clip.csv": table(every(25), head="onset,duration,valence,arousal",
                           first=lambda t: f"{t},0.04")},
        {},
    ),
    "FrameNumber": (
        {"clip.csv": table(TIMELINE.pts, head="FrameNumber,valence,arousal",
                           first=lambda t: f"{t * FPS:.0f}")},
        {},
    ),
    "frames listed in JSON": (
        {"clip.json": json.dumps({"frames": [
            {"frame": n, "valence": float(valence(n / FPS)), "arousal": float(arousal(n / FPS))}
            for n in range(ROWS)]})},
        {},
    ),
    "a copy beside it": ({"clip.csv": rows_only(), "clip (1).csv": rows_only()}, {}),
    "a partition above": ({"Train_Set/clip.txt": rows_only()}, {}),
}  # fmt: skip
WRONG = {
    "times at a day": (
        {"clip.csv": table(every(10), first=lambda t: f"2024-01-01 10:00:{t:06.3f}")}, {},
        "expected a number in column 1"),
    "times of a clock": ({"clip.csv": table(every(10), first=lambda t: f"{1.7e9 + t:.3f}")}, {},
                         "and the video lasts 4.0 s"),
    "times under another name": (
        {"clip.csv": table(every(10), head="zeit,valence,arousal")}, {},
        r"name that of the times with --columns \(column `zeit` not used"),
    "a mark of missing values": (
        {"clip.csv": rows_only() .replace("0.000000,0.600000", "-99,-99")}, {},
        "may be not annotated: --missing -99"),
    "rows taken out, counted under another name": (
        {"clip.csv": table(TIMELINE.pts[[*range(40), *range(42, 100)]],
                           head="nr,valence,arousal", first=lambda t: f"{t * FPS:.0f}")},
        {}, "in column `nr`; rows are missing"),
    "per cent": ({"clip.csv": "valence,arousal\n10%,20%\n"}, {}, "line 2 is `10%,20%`"),
    "empty": ({"clip.csv": ""}, {}, "line 1 is `empty`"),
    "names alone": ({"clip.csv": "valence,arousal\n"}, {}, "no row of numbers"),
    "no names": ({"clip.csv": rows_only(head="")}, {}, "--columns valence,arousal"),
    "no names but times": ({"clip.csv": table(every(10), head="")}, {},
                           "--columns time,valence,arousal"),
    "names that say nothing": ({"clip.csv": rows_only(head="x,y")}, {}, "--targets x,y"),
    "columns that do not fit": ({"clip.csv": rows_only()}, {"columns": "valence"},
                                r"2 columns.*--columns names 1"),
    "10 Hz without times": ({"clip.csv": rows_only(every(10))}, {},
                            "40 annotated rows for a video of 100 frames.*--rate 10"),
    "50 Hz without times": ({"clip.csv": rows_only(every(50))}, {},
                            "200 annotated rows for a video of 100 frames.*--rate 50"),
    "24 Hz without times": ({"clip.csv": rows_only(every(23))}, {}, "92 annotated rows.*--rate 23"),
    "the wrong rate": ({"clip.csv": rows_only(every(10))}, {"rate": 25}, "--rate 10"),
    "a rate that is too low": ({"clip.csv": rows_only(every(10))}, {"rate": 4}, "--rate 10"),
    "times of another video": ({"clip.csv": table(every(10, 60))}, {},
                               r"to 59.9 s, and the video lasts 4.0 s"),
    "times in minutes": ({"clip.csv": table(every(10), first=lambda t: f"{t / 6000:.8f}")}, {},
                         "no annotation is so.*time_ms"),
    "times that go back": ({"clip.csv": table([0, 0.1, 0.2, 0, 0.1])}, {},
                           "line 5 does not come after"),
    "a time twice": ({"clip.csv": table([0, 0.1, 0.1, 0.2])}, {}, "line 4 does not come after"),
    "a time missing": ({"clip.csv": "time,valence,arousal\n0,0,0\n,0,0\n"}, {},
                       "line 3 has no time"),
    "frames of another video": (
        {"clip.csv": table(every(25, 60), head="frame,valence,arousal",
                           first=lambda t: f"{t * FPS:.0f}")},
        {}, "frames 0 to 1499, counted from 0, for a video of 100 frames"),
    "frames from 0 or 1": (
        {"clip.csv": table(TIMELINE.pts[5:50], head="frame,valence,arousal",
                           first=lambda t: f"{t * FPS:.0f}")},
        {}, "--columns frame0,... or frame1"),
    "rows taken out": (
        {"clip.csv": table(TIMELINE.pts[[*range(40), *range(60, 100)]], head=",valence,arousal",
                           first=lambda t: f"{t * FPS:.0f}")},
        {}, "line 42 counts 60 after 39 in column ``; rows.*--columns frame0,valence,arousal"),
    "another scale": ({"clip.csv": rows_only(scale=10)}, {},
                      r"on another scale: --scale -10\.\.10"),
    "a row of another scale": ({"clip.csv": rows_only() .replace("0.600000", "1.5", 1)}, {},
                               r"line 2 is 0.000000,1.5; valence and arousal lie in \[-1, 1\]"),
    "outside the scale": ({"clip.csv": rows_only(scale=10)}, {"scale": "-5..5"},
                          r"valence lies in \[-5, 5\].*--scale -10\.\.10"),
    "no number": ({"clip.csv": "valence,arousal\n0,x\n"}, {}, "line 2 is `0,x`; expected a number"),
    "infinite": ({"clip.csv": "valence,arousal\n0,inf\n"}, {}, "line 2 is `0,inf`"),
    "cells too many": ({"clip.csv": "valence,arousal\n0,0\n0,0,0\n"}, {}, "line 3 is `0,0,0`"),
    "cells too few": ({"clip.csv": "valence,arousal\n0,0\n0.1\n"}, {}, "line 3 is `0.1`"),
    "decimal commas between commas": ({"clip.csv": "valence,arousal\n0,1,0,2\n"}, {},
                                      "with decimal commas, separate the columns by semicolons"),
    "a blank line between": ({"clip.csv": "valence,arousal\n0,0\n\n0,0\n"}, {},
                             "line 3 is blank"),
    "no text": ({"clip.csv": b"PK\x03\x04\0\0\0\0\0abc\0"}, {},
                "no text; save it as CSV|cannot read"),
    "half UTF-16": ({"clip.csv": b"\xff\xfe\x00"}, {}, "cannot read the annotation"),
    "no JSON": ({"clip.json": "{"}, {}, "cannot read the annotation"),
    "JSON of another kind": ({"clip.json": '{"a": 1}'}, {}, "no table in it"),
    "two files": ({"clip.csv": rows_only(), "clip.txt": rows_only()}, {},
                  r"two files annotate arousal, valence: .*clip\.csv and .*clip\.txt"),
    "two annotators": ({"anna/clip.csv": rows_only(), "ben/clip.csv": rows_only()}, {},
                       "two files annotate.*--annotators mean"),
    "annotators in columns": (
        {"clip.csv": "valence_1,valence_2\n" + "0,0\n" * ROWS}, {},
        r"2 annotators \(1, 2\).*--annotators mean"),
    "two partitions": ({"Train_Set/clip.txt": rows_only(), "Validation_Set/clip.txt": rows_only()},
                       {}, "two files|two partitions"),
}  # fmt: skip


def read(tmp_path, files, options, timeline=TIMELINE):
    (tmp_path / "clip.mp4").touch()
    for name, content in files.items():
        path = tmp_path / "labels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = find_dataset(tmp_path, reading=Reading.parse(**options))
    return read_labels(found.annotations["clip"], found.reader, timeline, 0.0)


@pytest.mark.parametrize("name", RIGHT)
def test_an_annotation_is_taken_right(tmp_path, name):
    labels = read(tmp_path, *RIGHT[name])
    assert labels.targets == ("valence", "arousal")
    wanted = np.stack([valence(TIMELINE.pts), arousal(TIMELINE.pts)], axis=1)
    known = np.isfinite(labels.values)
    assert known[: ROWS - 12].all()  # of slow clocks and delays the very end may be held or open
    held = slice(0, ROWS - 12)
    assert np.abs(labels.values - wanted)[held].max() < 0.02
    assert np.nanmax(np.abs(labels.values - wanted)) < 0.25


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_right_is_refused_with_what_to_type(tmp_path, name):
    files, options, message = WRONG[name]
    with pytest.raises(LabelError, match=f"(?s){message}"):
        read(tmp_path, files, options)


def test_the_table_is_long_enough():
    assert len(RIGHT) + len(WRONG) >= 40


@pytest.mark.parametrize("blank", ["", "NA", "nan", "?", "-"])
def test_cells_without_a_number_are_not_annotated(tmp_path, blank):
    rows = rows_only().splitlines()
    rows[11] = f"{blank},0.5"
    labels = read(tmp_path, {"clip.csv": "\n".join(rows)}, {})
    assert np.isnan(labels.values[10, 0])
    assert labels.values[10, 1] == 0.5
    assert np.isfinite(labels.values).sum() == 2 * ROWS - 1


def test_minus_five_masks_both_columns_and_no_row_moves(tmp_path):
    rows = rows_only().splitlines()
    rows[2], rows[3] = "-5,0.3", "0.4,-5.0"
    labels = read(tmp_path, {"clip.csv": "\n".join(rows)}, {})
    assert np.flatnonzero(np.isnan(labels.values).all(axis=1)).tolist() == [1, 2]
    assert np.isfinite(labels.values).sum() == 2 * (ROWS - 2)


def test_other_marks_of_missing_values_are_named(tmp_path):
    text = rows_only().replace("0.000000,0.600000", "-99,0.6")
    labels = read(tmp_path, {"clip.csv": text}, {"missing": -99})
    assert np.isnan(labels.values[0, 0])
    assert labels.values[0, 1] == np.float32(0.6)


def test_minus_five_is_a_value_of_other_scales(tmp_path):
    labels = read(
        tmp_path, {"clip.csv": "valence,arousal\n" + "-5,5\n" * ROWS}, {"scale": "-10..10"}
    )
    assert (labels.values == [-0.5, 0.5]).all()


def test_a_missing_numbered_frame_is_not_annotated(tmp_path):
    rows = [f"{n},0.1,0.2\n" for n in range(ROWS) if n not in (7, 30, 31, 32)]
    labels = read(tmp_path, {"clip.csv": "frame,valence,arousal\n" + "".join(rows)}, {})
    assert np.flatnonzero(np.isnan(labels.values[:, 0])).tolist() == [7, 30, 31, 32]


def test_values_hold_over_intervals_and_whole_clips(tmp_path):
    text = "start,end,valence,arousal\n0,1,0.1,0.2\n2,3,-0.3,0.4\n"
    labels = read(tmp_path, {"clip.csv": text}, {})
    assert (labels.values[:25] == np.float32([0.1, 0.2])).all()
    assert np.isnan(labels.values[25:50]).all()
    assert (labels.values[50:75] == np.float32([-0.3, 0.4])).all()
    assert np.isnan(labels.values[75:]).all()


def test_nearest_takes_values_that_stand_in_the_file(tmp_path):
    text = "time,valence,arousal\n" + "".join(f"{n / 5},{n % 2},0\n" for n in range(21))
    for how, between in (("linear", True), ("nearest", False)):
        labels = read(tmp_path, {"clip.csv": text}, {"interpolation": how})
        assert bool(set(labels.values[:, 0]) - {0, 1}) is between


def test_several_annotators_agree_and_weigh(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, ROWS)
    signals = {"a1": valence(TIMELINE.pts), "a2": valence(TIMELINE.pts) * 0.9, "a3": noise}
    files = {
        f"clip_{name}.csv": "valence\n" + "".join(f"{v:.6f}\n" for v in own)
        for name, own in signals.items()
    }
    mean = read(tmp_path, files, {"annotators": "mean"})
    assert np.allclose(mean.values[:, 0], np.mean(list(signals.values()), axis=0), atol=1e-5)
    ewe = read(tmp_path, files, {"annotators": "ewe"})
    weights = ewe.facts["weights"]["valence"]
    assert weights["a1"] > 2 * weights["a3"]
    truth = valence(TIMELINE.pts)
    assert np.abs(ewe.values[:, 0] - truth).mean() < np.abs(mean.values[:, 0] - truth).mean()
    agreement = ewe.facts["agreement"]["valence"]
    assert agreement["a1/a2"] > 0.98
    assert abs(agreement["a1/a3"]) < 0.4


@given(
    hertz=st.floats(3, 60),
    fps=st.sampled_from([12.5, 23.976, 25.0, 29.97, 50.0]),
    jitter=st.floats(0, 0.4),
    offset=st.floats(0, 0.05),
    seed=st.integers(0, 2**32 - 1),
    holes=st.integers(0, 3),
)
def test_a_smooth_signal_comes_back_at_the_frames(hertz, fps, jitter, offset, seed, holes):
    """Within the error of a line, h^2 / 8 times the curvature, or of a held value at the ends."""
    rng = np.random.default_rng(seed)
    times = offset + (np.arange(round(20 * hertz)) + rng.uniform(-jitter, jitter)) / hertz
    times = np.sort(times[times >= 0])
    for start in rng.uniform(0, 18, holes):
        times = times[(times < start) | (times > start + 1.5)]
    at = np.arange(round(20 * fps)) / fps
    rate, amplitude = 1.7, 0.8
    signal = amplitude * np.sin(rate * times)
    step = np.median(np.diff(times))
    found = interpolate(times, signal, at, gap=3 * step, reach=step)
    error = np.abs(found - amplitude * np.sin(rate * at))
    above = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    apart = times[above] - times[above - 1]
    inside = (times[above - 1] <= at) & (at <= times[above]) & (apart <= 3 * step)
    assert np.isfinite(found[inside]).all()
    assert (error[inside] <= apart[inside] ** 2 / 8 * amplitude * rate**2 + 1e-9).all()
    held = ~inside & np.isfinite(found)
    assert (error[held] <= step * amplitude * rate + 1e-9).all()
    nearest = np.abs(at[:, None] - times).min(axis=1)
    assert np.isnan(found[~inside & (nearest > step + 1e-6)]).all()


@given(rows=st.integers(20, 60), known=st.lists(st.booleans(), min_size=60, max_size=60))
def test_frames_are_where_they_were(rows, known):
    """A row per frame stays exactly itself, whatever is not annotated around it."""
    values = np.where(known[:rows], np.arange(rows) / 100, np.nan)
    x = np.arange(rows, dtype=float)
    assert np.array_equal(interpolate(x, values, x, gap=1.5, reach=0.5), values, equal_nan=True)
