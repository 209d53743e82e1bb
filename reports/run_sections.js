// The report's sections but that of the videos: scores, differences, learning, robustness,
// provenance; and the marks and measures that all share.
const columns = [...data.targets, "mean"];
const several = data.runs.length > 1;
const symbols = ["circle", "square", "diamond", "triangle-up", "triangle-down", "star"];
const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
const of = (list, index) => list[index % list.length];
const runColor = (index) => color(`--series-${(index % 6) + 1}`);

// Plotly reads a little HTML in its labels; this shows text as it is.
const plain = (text) => String(text).replace(/[&<>]/g, (c) => `&#${c.charCodeAt(0)};`);
const prefix = (name, wanted = several) => (wanted ? `${short(name)}, ` : "");

const inBrackets = (interval) => interval.map((bound) => bound.toFixed(2).replace("-", "−")).join(", ");

function score(value, interval, show = figure3) {
  const bounds = interval && [" ", el("span.interval", `[${inBrackets(interval)}]`)];
  return el("span", el("span.score", show(value)), bounds);
}

// What the other run has more of CCC than the first, in one video.
function gain(video, run, target) {
  const pick = (ccc) => {
    if (target !== "mean") return ccc[target];
    const known = data.targets.map((name) => ccc[name]).filter((value) => value !== null);
    return known.length ? known.reduce((a, b) => a + b) / known.length : null;
  };
  const [first, other] = [pick(video.ccc[0]), pick(video.ccc[run])];
  return first === null || other === null ? null : other - first;
}

// A new place for a plot, in a figure below `parent`.
function addPlot(parent, id, caption, label) {
  const holder = el("div.plot", { id, role: "img", "aria-label": label });
  at(parent).append(el("figure", el("figcaption", caption), holder));
  return holder;
}

// -- scores ---------------------------------------------------------------------------------------

const published = [
  ...new Map(data.runs.filter((run) => run.published).map((run) => [run.system, run.published])),
].map(([system, ccc]) => ({ name: `${system} on Aff-Wild2, published`, ccc }));

function showScores() {
  const frames = Math.max(...Object.values(data.runs[0].evaluation.frames));
  const heads = data.runs.map(
    (run) => `${run.name}: head ${run.head}${run.variant ? ` (${run.variant})` : ""}`,
  );
  const text =
    `Partition ${data.partition}: ${count(data.videos.length)} videos, ${count(frames)} ` +
    `annotated frames. ${heads.join("; ")}.`;
  at("about").append(el("p", text));
  const cells = ({ ccc, ccc_interval }) => columns.map((name) => score(ccc[name], ccc_interval?.[name]));
  const rows = [
    ...data.runs.map(({ name, evaluation }) => [name, ...cells(evaluation)]),
    ...data.differences.map((difference, i) => [
      { class: "gain" },
      `${data.runs[i + 1].name} − ${data.runs[0].name}`,
      ...columns.map((name) => score(difference[name].value, difference[name].interval, signed)),
    ]),
    ...published.map(({ name, ccc }) => [
      { class: "other" }, name, ...columns.map((target) => figure3(ccc[target])),
    ]),
  ];
  const paired = data.differences.length ? ", of a difference over the same files" : "";
  const bounds = data.runs[0].evaluation.ccc_interval
    ? `; brackets: 95 % interval over video files${paired}`
    : "";
  at("headline").append(table(`CCC over all annotated frames${bounds}`, ["", ...columns], rows));
  if (published.length) {
    at("headline-notes").append(el("p.soft", `${data.published} Reported by others.`));
  }
  for (const { name, evaluation } of data.runs) {
    const { smoothing, notes } = evaluation;
    const told = smoothing ? [` is smoothed: ${smoothing.method} over ${smoothing.seconds} s`] : [];
    for (const note of [...told, ...(notes || []).map((each) => `: ${each}`)]) {
      at("headline-notes").append(el("p.notice", `${name}${note}.`));
    }
  }
  return plot(at("plot-headline"), scoresFigure);
}

function scoresFigure() {
  const lines = data.runs.length + published.length;
  const marks = (name, ccc, i, marker, bounds) => ({
    mode: "markers",
    name: plain(short(name)),
    x: columns.map((target) => ccc[target]),
    y: columns.map((_, row) => row + (i - (lines - 1) / 2) * (0.7 / lines)),
    marker: { size: 9, ...marker },
    hovertemplate: "%{x:.3f}",
    error_x: bounds && {
      type: "data", symmetric: false, thickness: 1.5, width: 4, color: marker.color,
      array: columns.map((target) => bounds[target][1] - ccc[target]),
      arrayminus: columns.map((target) => ccc[target] - bounds[target][0]),
    },
  });
  const traces = data.runs.map(({ name, evaluation: { ccc, ccc_interval } }, i) =>
    marks(name, ccc, i, { symbol: of(symbols, i), color: runColor(i) }, ccc_interval),
  );
  const cross = { symbol: "x-thin", line: { width: 2, color: color("--soft") } };
  published.forEach(({ name, ccc }, i) => traces.push(marks(name, ccc, data.runs.length + i, cross)));
  const least = (trace) => trace.x.map((x, i) => x - (trace.error_x?.arrayminus[i] ?? 0));
  return {
    data: traces,
    layout: {
      height: 100 + 3 * (22 + 16 * lines),
      margin: { l: 62, r: 12, t: 36, b: 44 },
      xaxis: {
        range: [Math.min(0, ...traces.flatMap(least)) - 0.03, 1],
        title: { text: "CCC" },
        fixedrange: true,
      },
      yaxis: {
        range: [2.6, -0.6], tickvals: [0, 1, 2], ticktext: columns, showgrid: false, zeroline: false,
        fixedrange: true,
      },
    },
  };
}

// -- differences ----------------------------------------------------------------------------------

async function showDifferences() {
  if (!data.differences.length) return;
  at("difference").hidden = at("to-difference").hidden = false;
  data.runs.slice(1).forEach((run, i) => {
    const gains = data.videos.map((video) => gain(video, i + 1, "mean"));
    const [better, worse] = [gains.filter((g) => g > 0), gains.filter((g) => g !== null && g < 0)];
    const text =
      `By its mean CCC ${run.name} is better than ${data.runs[0].name} in ${better.length} of ` +
      `${data.videos.length} videos and worse in ${worse.length}.`;
    at("difference-words").append(el("p", text));
  });
  const holder = await plot(at("plot-difference"), differenceFigure);
  holder.on("plotly_click", (event) => go(event.points[0].customdata[0]));
}

function differenceFigure() {
  const many = data.differences.length > 1;
  const traces = data.runs.slice(1).flatMap((run, i) => {
    const order = data.videos
      .map((video, number) => ({ video, number, by: gain(video, i + 1, "mean") }))
      .filter(({ by }) => by !== null)
      .sort((a, b) => a.by - b.by);
    return data.targets.map((target, t) => ({
      mode: "markers",
      name: plain(`${prefix(run.name, many)}${target}`),
      x: order.map((_, rank) => rank + 1),
      y: order.map(({ video }) => gain(video, i + 1, target)),
      customdata: order.map(({ video, number }) => [number, plain(short(video.id, 60))]),
      hovertemplate: "%{customdata[1]}: %{y:+.3f}",
      marker: {
        symbol: of(symbols, t) + (t ? "-open" : ""), size: 8, line: { width: 1.5 },
        color: runColor(many ? i + 1 : t),
      },
    }));
  });
  const xaxis = {
    title: { text: "videos, sorted" }, showgrid: false, showticklabels: false, zeroline: false,
  };
  const yaxis = { title: { text: "difference of CCC" }, zerolinewidth: 2 };
  return { data: traces, layout: { height: 300, xaxis, yaxis } };
}

// -- learning -------------------------------------------------------------------------------------

function showLearning() {
  const rows = data.runs.flatMap((run) =>
    run.metrics.flatMap(({ network, epoch, loss, validationLoss, ccc, best }) =>
      epoch.map((number, i) => [
        run.name, network, String(number), figure3(loss[i]), figure3(validationLoss[i]), figure3(ccc[i]),
        number === best ? "kept" : "",
      ]),
    ),
  );
  const head = ["run", "network", "epoch", "training loss", "validation loss", "validation CCC", ""];
  at("learning-table").append(table("Epochs", head, rows));
  return plot(at("plot-learning"), learningFigure);
}

function learningFigure() {
  const traces = data.runs.flatMap((run, r) =>
    run.metrics.flatMap(({ network, epoch, loss, validationLoss, ccc, best }, n) => {
      const name = plain(`${prefix(run.name)}${network}`);
      const own = runColor(several ? r : n);
      const all = { name, legendgroup: name, hovertemplate: "%{y:.3f}" };
      const style = { color: own, width: 1.8, dash: of(dashes, n) };
      const curve = { ...all, x: epoch, mode: "lines", line: style };
      const kept = epoch.indexOf(best);
      const star = {
        ...all, x: [best], y: [ccc[kept]], mode: "markers", showlegend: false,
        marker: { symbol: "star", size: 12, color: own }, hovertemplate: "kept: %{y:.3f}",
      };
      const lossOf = (part, y, width) => ({
        ...curve, y, yaxis: "y2", showlegend: false, line: { ...style, width }, hovertemplate: `${part}: %{y:.3f}`,
      });
      const losses = [lossOf("training", loss, 0.9), lossOf("validation", validationLoss, 2.4)];
      return [{ ...curve, y: ccc }, ...losses, ...(kept < 0 ? [] : [star])];
    }),
  );
  const most = Math.max(...data.runs.flatMap(({ metrics }) => metrics.flatMap(({ epoch }) => epoch)));
  const layout = {
    height: 420,
    hovermode: "x",
    xaxis: { title: { text: "epoch" }, anchor: "y2", zeroline: false, ...(most < 12 && { dtick: 1 }) },
    yaxis: { domain: [0.5, 1], title: { text: "CCC" } },
    yaxis2: { domain: [0, 0.42], title: { text: "loss" }, rangemode: "tozero" },
  };
  return { data: traces, layout };
}

// -- robustness -----------------------------------------------------------------------------------

// Curves of one kind of damage: per run, seed and smoothing its points by severity.
function curvesOf(kind) {
  return data.runs.flatMap((run, r) => {
    const chosen = run.points.filter((point) => point.corruption.kind === kind);
    const groups = Map.groupBy(chosen, ({ corruption: { seed }, smoothing }) =>
      (seed ? `, seed ${seed}` : "") + (smoothing ? `, smoothed ${smoothing.seconds} s` : ""),
    );
    return [...groups].map(([extra, points]) => ({
      r,
      name: run.name + extra,
      points: points.sort((a, b) => a.corruption.severity - b.corruption.severity),
    }));
  });
}

function robustnessFigure(kind) {
  const traces = curvesOf(kind).flatMap(({ r, name, points }, c) =>
    columns.map((target, t) => ({
      mode: "lines+markers",
      name: plain(`${prefix(name, several || c)}${target}`),
      x: points.map((point) => point.corruption.severity),
      y: points.map((point) => point.ccc[target]),
      line: {
        color: runColor(r), width: target === "mean" ? 2.5 : 1.3, dash: of(["dot", "dash", "solid"], t),
      },
      marker: { symbol: of(symbols, r), size: 7 },
      hovertemplate: "%{y:.3f}",
    })),
  );
  const layout = {
    height: 300,
    hovermode: "x",
    margin: { l: 58, r: 12, t: 60, b: 46 },
    xaxis: { title: { text: data.kinds[kind] }, zeroline: false },
    yaxis: { title: { text: "CCC" } },
  };
  return { data: traces, layout };
}

async function showRobustness() {
  for (const run of data.runs.filter(({ points }) => !points.length)) {
    const command =
      `vapipe evaluate ${run.path} --partition ${data.partition} ` +
      "--corrupt drop-audio=0,0.25,0.5,0.75,1";
    const text = `${run.name} has no curves stored. This measures one: `;
    at("robustness-note").append(el("p", text, el("code", command)));
  }
  const kinds = Object.keys(data.kinds).filter((kind) => curvesOf(kind).length);
  if (!kinds.length) return;
  const rows = kinds.flatMap((kind) =>
    curvesOf(kind).flatMap(({ name, points }) =>
      points.map(({ corruption, ccc, ccc_interval }) => [
        kind, name, String(corruption.severity),
        ...columns.map((target) => score(ccc[target], ccc_interval?.[target])),
      ]),
    ),
  );
  const found = table("CCC under damage", ["damage", "run", "severity", ...columns], rows);
  at("robustness-table").append(el("details", el("summary", "All points as a table"), found));
  for (const kind of kinds) {
    const holder = addPlot("curves", `plot-${kind}`, kind, `CCC under ${kind}, as in the table`);
    await plot(holder, () => robustnessFigure(kind));
  }
}

// -- provenance -----------------------------------------------------------------------------------

function showProvenance() {
  for (const { name, streams, cache, trained, provenance } of data.runs) {
    const about = (what, ...content) =>
      at("provenance-list").append(el("details", el("summary", `${name}: ${what}`), content));
    const parts = Object.entries(trained).map(([part, n]) => [`${part} videos`, String(n)]);
    about(
      "what it was trained on",
      table(
        "Streams",
        ["role", "stream", "channels", "modality", "key"],
        streams.map((s) => [s.role, s.stream, String(s.dim), s.modality, s.key]),
      ),
      table("Cache", ["", ""], [["path", cache.path], ["digest", cache.digest], ...parts]),
    );
    for (const [file, value] of Object.entries(provenance)) {
      about(file, el("pre", { tabindex: 0 }, JSON.stringify(value, null, 2)));
    }
  }
}
