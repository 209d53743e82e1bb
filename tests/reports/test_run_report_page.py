"""Reports in a real browser show what the run and the cache hold, and do no harm."""

import dataclasses
import re
import shutil

import numpy as np
import pytest
from browser import Browser
from report_pages import ready, series, show
from report_runs import FACES, HARM, NO_SPEECH, ROWS, SILENCE, SMALL, UNLABELLED

from vapipe.fusion import fit
from vapipe.fusion.evaluation.gates import gates_file, read_gates
from vapipe.reports.records import RunRecord, read_record
from vapipe.reports.run_report import write_report


def test_it_opens_quietly_and_asks_for_nothing_but_the_clip(opened, page, place):
    show(opened, "clip")
    clip = place.media / "batch #1 100%" / "clip.mp4"
    assert set(opened.requests) == {page.as_uri(), clip.as_uri()}
    assert opened.complaints == []
    assert opened.page.evaluate("document.documentElement.lang") == "en"


def test_curves_are_those_of_the_cache_and_the_run_frame_by_frame(opened, place):
    record = read_record("first", place.runs["first"], "validation")
    for video in ("clip", HARM[1]):
        show(opened, video)
        labels, pts = place.store.labels(video), place.store.timeline(video).pts
        for column, target in enumerate(("valence", "arousal")):
            drawn = series(opened, f"annotation: {target}")
            assert np.allclose(drawn, labels[:, column], atol=2e-5, equal_nan=True)
            drawn = series(opened, f"run 0: {target}")
            assert np.allclose(drawn, record.predictions[video][:, column], atol=2e-5)
            assert np.allclose(series(opened, f"run 0: {target}", "x"), pts, atol=1e-4)
    gap = np.isnan(series(opened, "annotation: valence"))
    assert not gap[: UNLABELLED[0]].any() or len(gap) == ROWS // 2


def test_gates_are_those_of_the_run_network_by_network(opened, place):
    show(opened, "clip")
    gates = read_gates(place.runs["first"], "validation")
    for network in ("valence", "arousal"):
        opened.page.select_option("#gates", label=f"{network} network")
        shown = f"gate: {network}/video/unattended"
        opened.wait(f"document.getElementById('plot-video').data.some(t => t.meta === '{shown}')")
        column = 0 if network == "valence" else 6
        for offset, step in enumerate(("unattended", "recursion 1", "recursion 2")):
            drawn = series(opened, f"gate: {network}/video/{step}")
            assert np.allclose(drawn, gates.values["clip"][:, column + offset], atol=6e-3)


def test_missing_faces_silence_and_unlabelled_stretches_are_marked(opened, place):
    show(opened, "clip")
    pts = place.store.timeline("clip").pts
    for name, rows in (("no face", FACES), ("no audio", SILENCE), ("not annotated", UNLABELLED)):
        bar = series(opened, f"lane: {name}", "x")[:2]
        assert np.allclose(bar, pts[list(rows)], atol=1e-4)
        assert np.allclose(series(opened, f"band: {name}", "x")[[0, 2]], bar)
        percent = f"{name}, {100 * (rows[1] - rows[0]) / ROWS:g} %"
        texts = opened.page.evaluate(
            "document.getElementById('plot-video').layout.annotations.map(a => a.text)"
        )
        assert percent in texts
    # Of the stream vad: nothing is missing there, so nothing is shaded.
    bar = series(opened, "lane: no speech", "x")[:2]
    assert np.allclose(bar, pts[list(NO_SPEECH)], atol=1e-4)
    metas = opened.page.evaluate("document.getElementById('plot-video').data.map(t => t.meta)")
    assert "band: no speech" not in metas


def test_every_plot_has_as_many_points_as_there_are(opened, place):
    record = read_record("first", place.runs["first"], "validation")
    show(opened, "clip")
    traces = opened.page.eval_on_selector(
        "#plot-video", "gd => gd.data.map(t => [t.meta, t.x.length])"
    )
    curves = [length for name, length in traces if name.split(":")[0] in ("annotation", "run 0")]
    assert curves == [ROWS] * 4
    assert [n for name, n in traces if name.startswith("gate")] == [ROWS] * 6
    assert opened.points("#plot-headline") == [3]  # nothing is published on these videos
    epochs = [sum(r["network"] == name for r in record.metrics) for name in ("valence", "arousal")]
    assert opened.points("#plot-learning") == [*[epochs[0]] * 3, 1, *[epochs[1]] * 3, 1]
    losses = opened.page.eval_on_selector("#plot-learning", "gd => gd.data.map(t => [...t.y])")
    valence = [record.metrics[i] for i in range(epochs[0])]
    assert losses[1] == [epoch["loss"] for epoch in valence]
    assert losses[2] == [epoch["validation_loss"] for epoch in valence]
    counted = opened.page.eval_on_selector(
        "#plot-plane-1", "gd => gd.data[0].customdata.flat().reduce((a, b) => a + b)"
    )
    assert counted == record.evaluation["frames"]["valence"]
    for column, target in enumerate(("valence", "arousal")):
        pairs = opened.page.eval_on_selector(
            f"#plot-pairs-0-{column}",
            "gd => [gd.data[0].customdata.flat().reduce((a, b) => a + b),"
            "gd.querySelectorAll('.colorbar').length]",
        )
        assert pairs == [record.evaluation["frames"][target], 1]
        shares = opened.page.eval_on_selector(f"#plot-errors-{column}", "gd => gd.data[0].y")
        assert sum(shares) == pytest.approx(100)


def test_scores_are_told_in_words(opened, place):
    record = read_record("first", place.runs["first"], "validation")
    text = opened.page.inner_text("#headline")
    for target, value in record.evaluation["ccc"].items():
        low, high = record.evaluation["ccc_interval"][target]
        assert f"{value:.3f} [{low:.2f}, {high:.2f}]".replace("-", "−") in text.replace("-", "−")
    assert "published" not in text


def test_what_is_published_for_a_run_stands_beside_it(
    place, browser: Browser, tmp_path, monkeypatch
):
    """Which figures belong to a run is tested with `published`; Aff-Wild2 cannot stand here."""
    figures = {"valence": 0.459, "arousal": 0.652, "mean": 0.5555}
    monkeypatch.setattr(RunRecord, "published", property(lambda record: figures))
    write_report([place.runs["first"]], tmp_path / "page.html")
    tab = ready(browser.open(tmp_path / "page.html"))
    assert tab.points("#plot-headline") == [3, 3]
    assert "grjca, M = 2 on Aff-Wild2, published\t0.459\t0.652" in tab.page.inner_text("#headline")
    assert "Reported by others" in tab.page.inner_text("#headline-notes")


def test_attention_is_a_band_of_what_each_frame_receives(place, browser: Browser, tmp_path):
    config = dataclasses.replace(SMALL, head="transformer", epochs=1, targets="joint")
    fit(place.store, config, tmp_path / "run")
    write_report([tmp_path / "run"], tmp_path / "page.html")
    tab = ready(browser.open(tmp_path / "page.html"))
    show(tab, "clip")
    received = read_gates(tmp_path / "run", "validation").values["clip"].astype(float).T
    find = "gd => gd.data.find(t => t.meta === 'attention')"
    shown = tab.page.eval_on_selector("#plot-video", f"{find}.customdata")
    assert np.allclose(shown, received, atol=0.02 * np.ptp(received))
    assert "layer1" in tab.page.text_content("#plot-video")
    narrow = ready(browser.open(tmp_path / "page.html", width=400))
    show(narrow, "clip")
    means = np.array(narrow.page.eval_on_selector("#plot-video", f"{find}.customdata"))
    size = -(-ROWS // means.shape[1])
    assert size > 1
    assert np.allclose(means[:, 0], received[:, :size].mean(axis=1), atol=0.02)
    assert tab.complaints == narrow.complaints == []


def test_two_runs_are_shown_with_their_difference(both, place, browser: Browser):
    tab = ready(browser.open(both))
    first, other = (read_record(name, path, "validation") for name, path in place.runs.items())
    names = "<b>other<b> − first"
    text = tab.page.inner_text("#headline")
    gain = other.evaluation["ccc"]["mean"] - first.evaluation["ccc"]["mean"]
    assert names in text
    assert f"{'−' if gain < 0 else '+'}{abs(gain):.3f}" in text
    assert tab.points("#plot-difference") == [4, 4]
    drawn = tab.page.eval_on_selector("#plot-difference", "gd => gd.data[0].y")
    each = [
        other.evaluation["per_video"][v]["valence"] - first.evaluation["per_video"][v]["valence"]
        for v in first.predictions
    ]
    assert np.allclose(sorted(drawn), sorted(each))
    show(tab, "clip")
    for index, record in enumerate((first, other)):
        for column, target in enumerate(("valence", "arousal")):
            drawn = series(tab, f"run {index}: {target}")
            assert np.allclose(drawn, record.predictions["clip"][:, column], atol=2e-5)
    tab.page.select_option("#gates", label="<b>other<b>, joint network")
    tab.wait(
        "document.getElementById('plot-video').data.some(t => "
        "t.meta === 'gate: joint/audio/audio, head 2')"
    )
    legend = tab.page.text_content("#plot-video .legend")
    assert "<b>other<b>" in legend
    assert tab.page.query_selector("video") is None
    curve = tab.page.eval_on_selector("#plot-drop-audio", "gd => gd.data.map(t => [t.x, t.y])")
    assert [x for x, _ in curve] == [[0, 0.5, 1]] * 3
    recorded = {p["corruption"]["severity"]: p["ccc"] for p in other.points}
    assert curve[2][1] == [recorded[share]["mean"] for share in (0, 0.5, 1)]
    assert "first has no curves stored" in tab.page.inner_text("#robustness-note")
    tab.page.select_option("#order", "largest loss first")
    assert tab.complaints == []
    assert tab.requests == [both.as_uri()]


def test_a_run_without_gates_or_curves_names_the_commands(place, tmp_path, browser: Browser):
    run = shutil.copytree(place.runs["first"], tmp_path / "old")
    gates_file(run, "validation").unlink()
    lines = (run / "metrics.jsonl").read_text()  # as before the validation loss was recorded
    (run / "metrics.jsonl").write_text(re.sub(r', "validation_loss": [^,}]+', "", lines))
    written = write_report([run], tmp_path / "old.html")
    command = f"vapipe evaluate {run} --partition validation --gates"
    assert written.notes == [f"old has no gates stored; `{command}`"]
    tab = ready(browser.open(tmp_path / "old.html"))
    assert command in tab.page.inner_text("#gates-note")
    assert "--corrupt drop-audio" in tab.page.inner_text("#robustness-note")
    assert tab.page.is_disabled("#gates")
    tab.page.click("text=All epochs as a table")
    assert "–" in tab.page.inner_text("#learning-table tbody tr")
    assert tab.complaints == []
