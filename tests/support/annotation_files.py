"""Annotations as people have them: those that are taken right, and those that are refused."""

import json

import numpy as np

from vapipe.cache import Timeline

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


def dimension(signal):
    return "value\n" + "".join(f"{v:.6f}\n" for v in signal(TIMELINE.pts))


def frame(t):
    return f"{t * FPS:.0f}"


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
RIGHT = {  # what is taken right: name -> files
    "a row per frame": {"clip.csv": rows_only()},
    "of Aff-Wild2": {"clip.txt": rows_only()},
    "tabs": {"clip.tsv": rows_only(sep="\t")},
    "semicolons": {"clip.csv": rows_only(sep=";")},
    "semicolons and decimal commas": {"clip.csv": rows_only(sep=";", comma=True)},
    "tabs and decimal commas": {"clip.txt": rows_only(sep="\t", comma=True)},
    "spaces": {"clip.txt": rows_only(sep=" ")},
    "quoted": {"clip.csv": '"valence","arousal"\n' + rows_only(head="").replace(",", '","')
         .replace("\n", '"\n"').removesuffix('"').join(['"', ""])},
    "a mark of UTF-8": {"clip.csv": "\ufeff" + rows_only()},
    "UTF-16": {"clip.csv": rows_only().encode("utf-16")},
    "UTF-16 without mark": {"clip.csv": rows_only().encode("utf-16-le")},
    "lines of Windows": {"clip.csv": rows_only().replace("\n", "\r\n")},
    "capitals and spaces": {"clip.csv": rows_only(head=" Valence , AROUSAL ")},
    "short names": {"clip.csv": rows_only(head="v,a")},
    "the other order": {"clip.csv": "arousal,valence\n" + "".join(
            f"{arousal(t):.6f},{valence(t):.6f}\n" for t in TIMELINE.pts)},
    "blanks at the end": {"clip.csv": rows_only() + "  \n\n \n"},
    "blank cells at the end": {"clip.csv": rows_only() + ",\n,\n"},
    "separators at the ends of lines": {"clip.csv": rows_only().replace("\n", ",\n")},
    "remarks before": {"clip.csv": "# by anna\n# 2024\n" + rows_only()},
    "the separator named": {"clip.csv": "sep=;\n" + rows_only(sep=";")},
    "names in a remark": {"clip.txt": "# valence arousal\n" + rows_only(sep=" ", head="")},
    "an index": {"clip.csv": table(TIMELINE.pts, head=",valence,arousal", first=frame)},
    "no names": {"clip.csv": rows_only(head="")},
    "names that say nothing": {"clip.csv": rows_only(head="x,y")},
    "a column too many": {
        "clip.csv": table(TIMELINE.pts, head="confidence,valence,arousal", first=lambda t: "0.9"),
    },
    "times at 10 Hz": {"clip.csv": table(every(10))},
    "times at 50 Hz": {"clip.csv": table(every(50))},
    "milliseconds by name": {
        "clip.csv": table(every(10), head="time_ms,valence,arousal", first=milliseconds),
    },
    "milliseconds in brackets": {
        "clip.csv": table(every(20), head="Time [ms],valence,arousal", first=milliseconds),
    },
    "milliseconds unsaid": {"clip.csv": table(every(10), first=milliseconds)},
    "hours, minutes, seconds": {"clip.csv": table(every(10), first=clock)},
    "minutes, seconds": {"clip.csv": table(every(10), first=lambda t: clock(t)[3:])},
    "decimal commas with times": {"clip.csv": table(every(10), sep=";", comma=True)},
    "no names but times": {"clip.csv": table(every(10), head="")},
    "frames from 0": {"clip.csv": table(TIMELINE.pts, head="frame,valence,arousal", first=frame)},
    "frames from 1": {"clip.csv": table(TIMELINE.pts, head="frame,valence,arousal",
                           first=lambda t: f"{t * FPS + 1:.0f}")},
    "names of pictures": {"clip.csv": table(TIMELINE.pts, head="image_location,valence,arousal",
                           first=lambda t: f"clip/{t * FPS + 1:05.0f}.jpg")},
    "a rate": {"clip.csv": rows_only(every(10))},
    "a scale of -10 to 10": {"clip.csv": rows_only(scale=10)},
    "a scale of -1000 to 1000": {"clip.csv": rows_only(scale=1000)},
    "a scale of 1 to 9": {"clip.csv": "valence,arousal\n" + "".join(
            f"{5 + 4 * valence(t)},{5 + 4 * arousal(t)}\n" for t in TIMELINE.pts)},
    "a scale for each": {"clip.csv": "valence,arousal\n" + "".join(
            f"{valence(t)},{0.5 + 0.5 * arousal(t)}\n" for t in TIMELINE.pts)},
    "a delay": {"clip.csv": "time,valence,arousal\n" + "".join(
            f"{t + 0.48:.3f},{valence(t):.6f},{arousal(t):.6f}\n" for t in every(25, 3.5))},
    "a file for each, in folders": {
        "valence/clip.csv": dimension(valence), "arousal/clip.csv": dimension(arousal),
    },
    "a file for each, by name": {
        "clip_valence.csv": dimension(valence), "clip_arousal.csv": dimension(arousal),
    },
    "a file for each in a folder of the video": {
        "clip/valence.txt": dimension(valence), "clip/arousal.txt": dimension(arousal),
    },
    "a file for each, without names": {"valence/clip.txt": dimension(valence).split("\n", 1)[1],
         "arousal/clip.txt": dimension(arousal).split("\n", 1)[1]},
    "of MuSe": {f"label_segments/{name}/clip.csv": "timestamp,value,segment_id\n" + "".join(
            f"{t * 1000:.0f},{signal(t):.6f},1\n" for t in every(4))
         for name, signal in (("valence", valence), ("arousal", arousal))},
    "of RECOLA": {f"ratings_gold_standard/{name}/clip.arff": ARFF + "".join(
            f"'clip',{t:.2f},{signal(t):.6f}\n" for t in every(25))
         for name, signal in (("valence", valence), ("arousal", arousal))},
    "of AFEW-VA": {"clip.json": json.dumps(AFEW)},
    "JSON records": {"clip.json": json.dumps([
            {"time": t, "valence": float(valence(t)), "arousal": float(arousal(t))}
            for t in every(10)])},
    "two annotators in folders": {"anna/clip.csv": rows_only(), "ben/clip.csv": rows_only()},
    "annotators in columns": {"clip.csv": "valence_1,valence_2,arousal_1,arousal_2\n" + "".join(
            f"{valence(t):.6f},{valence(t):.6f},{arousal(t):.6f},{arousal(t):.6f}\n"
            for t in TIMELINE.pts)},
    "six annotators a dimension": {f"{name}/clip.csv": "time;FM1;FM2;FM3\n" + "".join(
            f"{t};{signal(t):.6f};{signal(t):.6f};{signal(t):.6f}\n" for t in every(25))
         for name, signal in (("valence", valence), ("arousal", arousal))},
    "a transcript beside it": {
        "clip.csv": rows_only(), "clip.txt": "Well, I was very glad.\nReally.\n",
    },
    "a README beside it": {
        "clip.csv": rows_only(), "README.txt": "How this was annotated.\n", "._clip.csv": "\0",
    },
    "a table of many videos": {"all.csv": "video,frame,valence,arousal\n" + "".join(
            f"{name}.mp4,{n},{valence(n / FPS):.6f},{arousal(n / FPS):.6f}\n"
            for name in ("other", "clip") for n in range(ROWS))},
    "another case": {"CLIP.csv": rows_only()},
    "more in the name": {"clip_annotation.csv": rows_only()},
    "surplus rows": {"clip.csv": rows_only(np.arange(ROWS + 5) / FPS)},
    "a title before": {"clip.csv": "Annotation of clip\n\n" + rows_only()},
    "the video's suffix in the name": {"clip.mp4.csv": rows_only()},
    "lines of old Macs": {"clip.csv": rows_only().replace("\n", "\r")},
    "minus signs of print": {"clip.csv": rows_only().replace("-", "\N{MINUS SIGN}")},
    "bars": {"clip.txt": rows_only(sep="|")},
    "names of pleasure and activation": {"clip.csv": rows_only(head="pleasure,activation")},
    "names with ranges": {"clip.csv": rows_only(head="Valence [-1..1],Arousal [-1..1]")},
    "means and deviations": {
        "clip.csv": "valence_mean,valence_std,arousal_mean,arousal_std\n" + "".join(
            f"{valence(t):.6f},0.1,{arousal(t):.6f},0.2\n" for t in TIMELINE.pts)},
    "microseconds": {"clip.csv": table(every(10), head="time_us,valence,arousal",
                           first=lambda t: f"{t * 1e6:.0f}")},
    "elapsed seconds": {"clip.csv": table(every(10), head="Elapsed Seconds,valence,arousal")},
    "time of the frame": {"clip.csv": table(every(10), head="frameTime,valence,arousal")},
    "onsets": {"clip.csv": table(every(10), head="onset,valence,arousal")},
    "onsets and durations": {"clip.csv": table(every(25), head="onset,duration,valence,arousal",
                           first=lambda t: f"{t},0.04")},
    "FrameNumber": {
        "clip.csv": table(TIMELINE.pts, head="FrameNumber,valence,arousal", first=frame),
    },
    "frames listed in JSON": {"clip.json": json.dumps({"frames": [
            {"frame": n, "valence": float(valence(n / FPS)), "arousal": float(arousal(n / FPS))}
            for n in range(ROWS)]})},
    "a copy beside it": {"clip.csv": rows_only(), "clip (1).csv": rows_only()},
    "a partition above": {"Train_Set/clip.txt": rows_only()},
}  # fmt: skip
OPTIONS = {  # with these options, where any
    "no names": {"columns": "valence,arousal"},
    "names that say nothing": {"columns": "valence,arousal"},
    "no names but times": {"columns": "time,valence,arousal"},
    "a rate": {"rate": 10},
    "a scale of -10 to 10": {"scale": "-10..10"},
    "a scale of -1000 to 1000": {"scale": "-1000..1000"},
    "a scale of 1 to 9": {"scale": "1..9"},
    "a scale for each": {"scale": "arousal=0..1"},
    "a delay": {"delay": 0.48},
    "two annotators in folders": {"annotators": "mean"},
    "annotators in columns": {"annotators": "ewe"},
    "six annotators a dimension": {"annotators": "ewe"},
}
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
                           head="nr,valence,arousal", first=frame)},
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
        {"clip.csv": table(every(25, 60), head="frame,valence,arousal", first=frame)},
        {}, "frames 0 to 1499, counted from 0, for a video of 100 frames"),
    "frames from 0 or 1": (
        {"clip.csv": table(TIMELINE.pts[5:50], head="frame,valence,arousal", first=frame)},
        {}, "--columns frame0,... or frame1"),
    "rows taken out": (
        {"clip.csv": table(TIMELINE.pts[[*range(40), *range(60, 100)]], head=",valence,arousal",
                           first=frame)},
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
