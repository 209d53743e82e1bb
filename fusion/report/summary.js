"use strict";
// Scores beside published ones, the difference between runs, learning curves, robustness.
const Report = (() => {
  const data = Page.data;
  const { el } = Page;
  const columns = [...data.targets, "mean"];
  const symbols = ["circle", "square", "diamond", "triangle-up", "triangle-down", "star"];
  const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
  const of = (list, index) => list[index % list.length];
  const runColor = (index) => Page.color(`--series-${(index % 6) + 1}`);
  const byId = (id) => document.getElementById(id);

  // Plotly reads a little HTML in its labels; this shows text as it is.
  const plain = (text) =>
    String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const short = (text, most = 32) => (text.length > most ? text.slice(0, most - 1) + "…" : text);
  const figure = (value) =>
    value === null || value === undefined ? "–" : value.toFixed(3).replace("-", "−");
  const signed = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(3);
  const count = (value) => value.toLocaleString("en");

  function score(value, interval, show = figure) {
    const cell = el("span", {}, el("span", { class: "score" }, show(value)));
    if (interval) {
      const text = interval.map((bound) => bound.toFixed(2)).join(", ").replaceAll("-", "−");
      cell.append(" ", el("span", { class: "interval" }, `[${text}]`));
    }
    return cell;
  }

  // -- scores -----------------------------------------------------------------------------------

  function describe(run) {
    return `${run.head}${run.variant ? ` (${run.variant})` : ""}`;
  }

  function showHeadline() {
    const frames = Math.max(...Object.values(data.runs[0].evaluation.frames));
    byId("about").append(
      el("p", {},
        `Partition ${data.partition}: ${count(data.videos.length)} videos, ${count(frames)} ` +
        `annotated frames. ` + data.runs.map((run) => `${run.name}: head ${describe(run)}`).join("; ") + "."),
    );
    const rows = [], kinds = [];
    data.runs.forEach((run) => {
      const { ccc, ccc_interval: bounds } = run.evaluation;
      rows.push([run.name, ...columns.map((name) => score(ccc[name], bounds && bounds[name]))]);
      kinds.push("");
    });
    data.differences.forEach((difference, i) => {
      rows.push([
        `${data.runs[i + 1].name} − ${data.runs[0].name}`,
        ...columns.map((name) => score(difference[name].value, difference[name].interval, signed)),
      ]);
      kinds.push("gain");
    });
    for (const { head, published } of publishedHeads()) {
      rows.push([`${head} on Aff-Wild2, published`, ...columns.map((name) => figure(published[name]))]);
      kinds.push("other");
    }
    const caption = "CCC over all annotated frames" +
      (data.runs[0].evaluation.ccc_interval
        ? "; brackets: 95 % bootstrap interval over video files" +
          (data.differences.length ? ", of a difference with the same files drawn for both" : "")
        : "");
    const table = Page.table(caption, ["", ...columns], rows);
    table.querySelectorAll("tbody tr").forEach((row, i) => {
      if (kinds[i]) row.className = kinds[i];
    });
    byId("headline").append(table);
    const notes = byId("headline-notes");
    if (publishedHeads().length) {
      notes.append(el("p", { class: "soft" },
        `${data.published} Reported by others; where the videos of this page are not that set, on other data.`));
    }
    for (const run of data.runs) {
      const smoothing = run.evaluation.smoothing;
      if (smoothing) {
        notes.append(el("p", { class: "notice" },
          `${run.name} is smoothed: ${smoothing.method} over ${smoothing.seconds} s.`));
      }
      for (const note of run.evaluation.notes || []) {
        notes.append(el("p", { class: "notice" }, `${run.name}: ${note}.`));
      }
    }
    return Page.figure(byId("plot-headline"), headlineFigure);
  }

  function publishedHeads() {
    const heads = new Map();
    for (const run of data.runs) if (run.published) heads.set(run.head, run.published);
    return [...heads].map(([head, published]) => ({ head, published }));
  }

  function headlineFigure() {
    const others = publishedHeads();
    const lines = data.runs.length + others.length;
    const place = (row, line) => row + (line - (lines - 1) / 2) * (0.7 / lines);
    const traces = data.runs.map((run, i) => {
      const { ccc, ccc_interval: bounds } = run.evaluation;
      const trace = {
        type: "scatter", mode: "markers", name: plain(short(run.name)),
        x: columns.map((name) => ccc[name]), y: columns.map((_, row) => place(row, i)),
        marker: { symbol: of(symbols, i), size: 9, color: runColor(i) },
        hovertemplate: "%{x:.3f}",
      };
      if (bounds) {
        trace.error_x = {
          type: "data", symmetric: false, thickness: 1.5, width: 4, color: runColor(i),
          array: columns.map((name) => bounds[name][1] - ccc[name]),
          arrayminus: columns.map((name) => ccc[name] - bounds[name][0]),
        };
      }
      return trace;
    });
    others.forEach(({ head, published }, i) => traces.push({
      type: "scatter", mode: "markers", name: plain(`${head} on Aff-Wild2, published`),
      x: columns.map((name) => published[name]),
      y: columns.map((_, row) => place(row, data.runs.length + i)),
      marker: { symbol: "x-thin", size: 9, line: { width: 2, color: Page.color("--soft") } },
      hovertemplate: "%{x:.3f}",
    }));
    const lowest = Math.min(0, ...traces.flatMap((t) =>
      t.x.map((x, i) => x - (t.error_x ? t.error_x.arrayminus[i] : 0))));
    return {
      data: traces,
      layout: Page.layout({
        height: 100 + 3 * (22 + 16 * lines), margin: { l: 62, r: 12, t: 36, b: 44 },
        xaxis: Page.axis({ range: [lowest - 0.03, 1], title: { text: "CCC", standoff: 8 }, fixedrange: true }),
        yaxis: Page.axis({
          range: [2.6, -0.6], tickvals: [0, 1, 2], ticktext: columns, showgrid: false,
          zeroline: false, fixedrange: true,
        }),
      }),
    };
  }

  // -- differences ------------------------------------------------------------------------------

  const mean = (ccc) => {
    const known = data.targets.map((name) => ccc[name]).filter((value) => value !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };

  function gain(video, run, target) {
    const pick = (ccc) => (target === "mean" ? mean(ccc) : ccc[target]);
    const [first, other] = [pick(video.ccc[0]), pick(video.ccc[run])];
    return first === null || other === null ? null : other - first;
  }

  function showDifference(open) {
    if (!data.differences.length) return null;
    byId("difference").hidden = byId("to-difference").hidden = false;
    data.differences.forEach((_, i) => {
      const gains = data.videos.map((video) => gain(video, i + 1, "mean"));
      const [better, worse] = [gains.filter((g) => g > 0), gains.filter((g) => g !== null && g < 0)];
      byId("difference-words").append(el("p", {},
        `By its mean CCC ${data.runs[i + 1].name} is better than ${data.runs[0].name} in ` +
        `${better.length} of ${data.videos.length} videos and worse in ${worse.length}.`));
    });
    return Page.figure(byId("plot-difference"), differenceFigure).then((holder) => {
      holder.on("plotly_click", (event) => open(event.points[0].customdata[0]));
    });
  }

  function differenceFigure() {
    const traces = [];
    data.differences.forEach((_, i) => {
      const order = data.videos
        .map((video, number) => ({ video, number, by: gain(video, i + 1, "mean") }))
        .filter((entry) => entry.by !== null)
        .sort((a, b) => a.by - b.by);
      data.targets.forEach((target, t) => traces.push({
        type: "scatter", mode: "markers",
        name: plain(`${data.differences.length > 1 ? short(data.runs[i + 1].name) + ", " : ""}${target}`),
        x: order.map((_, rank) => rank + 1), y: order.map(({ video }) => gain(video, i + 1, target)),
        customdata: order.map(({ video, number }) => [number, plain(short(video.id, 60))]),
        hovertemplate: "%{customdata[1]}: %{y:+.3f}",
        marker: {
          symbol: of(symbols, t) + (t ? "-open" : ""), size: 8,
          color: data.differences.length > 1 ? runColor(i + 1) : runColor(t), line: { width: 1.5 },
        },
      }));
    });
    return {
      data: traces,
      layout: Page.layout({
        height: 300,
        xaxis: Page.axis({ title: { text: "videos, sorted", standoff: 8 }, showgrid: false, showticklabels: false, zeroline: false }),
        yaxis: Page.axis({ title: { text: "difference of CCC", standoff: 8 }, zerolinewidth: 2 }),
      }),
    };
  }

  // -- learning ---------------------------------------------------------------------------------

  function learningFigure() {
    const traces = [];
    data.runs.forEach((run, r) => run.metrics.forEach((network, n) => {
      const name = plain(`${data.runs.length > 1 ? short(run.name) + ", " : ""}${network.network}`);
      const color = data.runs.length > 1 ? runColor(r) : runColor(n);
      const line = { color, width: 1.8, dash: of(dashes, n) };
      traces.push(
        { x: network.epoch, y: network.ccc, name, mode: "lines", line, legendgroup: name, hovertemplate: "%{y:.3f}" },
        { x: network.epoch, y: network.loss, name, mode: "lines", line, yaxis: "y2", legendgroup: name,
          showlegend: false, hovertemplate: "%{y:.3f}" },
      );
      const kept = network.epoch.indexOf(network.best);
      if (kept >= 0) {
        traces.push({
          x: [network.best], y: [network.ccc[kept]], name: `${name}, kept`, mode: "markers",
          marker: { symbol: "star", size: 12, color }, showlegend: false, legendgroup: name,
          hovertemplate: "kept: %{y:.3f}",
        });
      }
    }));
    return {
      data: traces,
      layout: Page.layout({
        height: 420, hovermode: "x",
        xaxis: Page.axis({ title: { text: "epoch", standoff: 8 }, anchor: "y2", zeroline: false }),
        yaxis: Page.axis({ domain: [0.5, 1], title: { text: "CCC", standoff: 8 } }),
        yaxis2: Page.axis({ domain: [0, 0.42], title: { text: "loss", standoff: 8 }, rangemode: "tozero" }),
      }),
    };
  }

  function showLearning() {
    const rows = data.runs.flatMap((run) => run.metrics.flatMap((network) =>
      network.epoch.map((epoch, i) => [
        run.name, network.network, String(epoch), figure(network.loss[i]), figure(network.ccc[i]),
        epoch === network.best ? "kept" : "",
      ])));
    byId("learning-table").append(Page.table(
      "Epochs", ["run", "network", "epoch", "loss", "validation CCC", ""], rows));
    return Page.figure(byId("plot-learning"), learningFigure);
  }

  // -- robustness -------------------------------------------------------------------------------

  // Curves of one kind of damage: per run, seed and smoothing its points by severity.
  function curvesOf(kind) {
    const curves = [];
    data.runs.forEach((run, r) => {
      const own = new Map();
      for (const point of run.points.filter((each) => each.corruption.kind === kind)) {
        const { seed } = point.corruption;
        const extra = (seed ? `, seed ${seed}` : "") +
          (point.smoothing ? `, smoothed ${point.smoothing.seconds} s` : "");
        if (!own.has(extra)) own.set(extra, []);
        own.get(extra).push(point);
      }
      for (const [extra, points] of own) {
        points.sort((a, b) => a.corruption.severity - b.corruption.severity);
        curves.push({ run, r, name: run.name + extra, points });
      }
    });
    return curves;
  }

  function curveFigure(kind) {
    const traces = curvesOf(kind).flatMap(({ r, name, points }, c) => columns.map((target, t) => ({
      type: "scatter", mode: "lines+markers",
      name: plain(`${data.runs.length > 1 || c ? short(name) + ", " : ""}${target}`),
      x: points.map((point) => point.corruption.severity), y: points.map((point) => point.ccc[target]),
      line: { color: runColor(r), width: target === "mean" ? 2.5 : 1.3, dash: of(["dot", "dash", "solid"], t) },
      marker: { symbol: of(symbols, r), size: 7 }, hovertemplate: "%{y:.3f}",
    })));
    return {
      data: traces,
      layout: Page.layout({
        height: 300, hovermode: "x", margin: { l: 58, r: 12, t: 60, b: 46 },
        xaxis: Page.axis({ title: { text: data.kinds[kind], standoff: 8 }, zeroline: false }),
        yaxis: Page.axis({ title: { text: "CCC", standoff: 8 } }),
      }),
    };
  }

  async function showRobustness() {
    const without = data.runs.filter((run) => !run.points.length);
    for (const run of without) {
      byId("robustness-note").append(el("p", {}, `${run.name} has no curves stored. This measures one: `,
        el("code", {}, `vapipe evaluate ${run.path} --partition ${data.partition} --corrupt drop-audio=0,0.25,0.5,0.75,1`)));
    }
    const kinds = Object.keys(data.kinds).filter((kind) => curvesOf(kind).length);
    if (!kinds.length) return;
    const rows = kinds.flatMap((kind) => curvesOf(kind).flatMap(({ name, points }) =>
      points.map((point) => [
        kind, name, String(point.corruption.severity),
        ...columns.map((target) => score(point.ccc[target], point.ccc_interval && point.ccc_interval[target])),
      ])));
    byId("robustness-table").append(el("details", {}, el("summary", {}, "All points as a table"),
      Page.table("CCC under damage", ["damage", "run", "severity", ...columns], rows)));
    for (const kind of kinds) {
      const holder = el("div", { class: "plot", id: `plot-${kind}`, role: "img", "aria-label": `CCC under ${kind}, as in the table` });
      byId("curves").append(el("figure", {}, el("figcaption", {}, kind), holder));
      await Page.figure(holder, () => curveFigure(kind));
    }
  }

  return {
    columns, symbols, dashes, of, runColor, byId, plain, short, figure, signed, count, score, mean,
    gain, showHeadline, showDifference, showLearning, showRobustness,
  };
})();
