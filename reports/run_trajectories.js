// The series of one video, decoded when it is opened, and the figure of its trajectories.
const GAP = -32768; // an int16 where there is no value

// Columns of a block, stored as differences along time that wrap around: value = low + step * whole.
async function decode(name, kind, rows, scale) {
  const whole = await array(name, kind);
  for (let i = 0; i < whole.length; i++) if (i % rows) whole[i] += whole[i - 1];
  return Array.from({ length: whole.length / rows }, (_, column) => {
    const [low, step] = scale(column);
    const own = whole.subarray(column * rows, (column + 1) * rows);
    return Float32Array.from(own, (value) => (value === GAP ? NaN : low + step * value));
  });
}

// {times, labels: [target], runs: [run][target], gates: [run][column] or null}
async function loadSeries(index) {
  const { rows, constant, start, step, labelStep, steps, gates } = data.videos[index];
  return {
    times: constant
      ? Float64Array.from({ length: rows }, (_, i) => start + i * step)
      : await array(`v${index}-times`, "float64"),
    labels: await decode(`v${index}-labels`, "int16", rows, () => [0, labelStep]),
    runs: await Promise.all(
      steps.map((each, r) => decode(`v${index}-run${r}`, "int16", rows, () => [0, each])),
    ),
    gates: await Promise.all(
      gates.map((range, r) => range && decode(`v${index}-gates${r}`, "uint8", rows, (column) => {
        const low = range.low[column];
        return [low, (range.high[column] - low) / data.gateSteps];
      })),
    ),
  };
}

// -- panels ---------------------------------------------------------------------------------------

// A panel is {title, px, axis, traces} and, of gates, {legend}, of colours {margin} at its right. Bands are shaded where rows lack something.

const bandColors = { visual: "--band-1", audio: "--band-2", labels: "--band-3" };
const runDashes = ["solid", "dot", "dash", "dashdot"];
const laneColors = { visual: "--series-2", audio: "--series-1", speech: "--soft", labels: "--soft" };

// [[from, to], ...] in seconds.
function stretches({ spans }, video, { times }) {
  const second = (row) => (row < video.rows ? times[row] : video.end);
  return Array.from({ length: spans.length / 2 }, (_, i) => [0, 1].map((k) => second(spans[2 * i + k])));
}

function bands(video, series, low, high) {
  return video.lanes.filter(({ kind }) => bandColors[kind]).map((lane) => {
    const found = stretches(lane, video, series);
    return {
      mode: "none", fill: "toself", fillcolor: color(bandColors[lane.kind]), hoverinfo: "skip",
      showlegend: false, meta: `band: ${lane.label}`,
      x: found.flatMap(([a, b]) => [a, a, b, b, null]),
      y: found.flatMap(() => [low, high, high, low, null]),
    };
  });
}

function targetPanel(video, series, target, t) {
  const all = [series.labels[t], ...series.runs.map((run) => run[t])];
  const most = all.reduce((m, values) => values.reduce((n, v) => Math.max(n, Math.abs(v) || 0), m), 1);
  const curve = (y, name, meta, line) => ({
    mode: "lines", x: series.times, y, name, line, meta: `${meta}: ${target}`, legendgroup: name,
    showlegend: t === 0, hovertemplate: "%{y:.3f}",
  });
  const annotation = { color: color("--annotation"), width: 3.6 };
  const lineOf = (r) => ({ color: runColor(r), width: r ? 1.8 : 1.5, dash: of(runDashes, r) });
  return {
    title: `<b>${target}</b>`,
    px: 190,
    axis: { range: [-most, most], nticks: 5 },
    traces: [
      ...bands(video, series, -most, most),
      curve(series.labels[t], "annotation", "annotation", annotation),
      ...data.runs.map((run, r) => curve(series.runs[r][t], plain(short(run.name)), `run ${r}`, lineOf(r))),
    ],
  };
}

function lanesPanel(video, series) {
  return {
    title: "<b>missing or doubtful</b>",
    px: 24 * video.lanes.length,
    axis: {
      range: [video.lanes.length - 0.6, -0.9], showgrid: false, zeroline: false, showticklabels: false, ticks: "",
    },
    traces: video.lanes.map((lane, k) => {
      const found = stretches(lane, video, series);
      return {
        mode: "lines", showlegend: false, hoverinfo: "skip", meta: `lane: ${lane.label}`,
        line: { color: color(laneColors[lane.kind]), width: 7 },
        x: found.flatMap(([a, b]) => [a, b, null]),
        y: found.flatMap(() => [k, k, null]),
      };
    }),
    notes: video.lanes.map((lane, k) => ({
      text: plain(`${lane.label}, ${Math.round((1000 * lane.rows) / video.rows) / 10} %`),
      x: 0.005, y: k - 0.12, font: { size: 10, color: color("--soft") },
    })),
  };
}

// Mean, least and greatest values of groups of frames, each some four pixels wide in the range that
// is shown; null where there is room for each frame, two pixels and more.
function grouped(times, values, [from, to]) {
  const inside = times.reduce((n, time) => n + (from <= time && time <= to), 0);
  const room = stage.clientWidth / 2;
  if (inside <= room) return null;
  const size = Math.ceil((2 * inside) / room);
  return Array.from({ length: Math.ceil(times.length / size) }, (_, g) => {
    const own = values.subarray(g * size, (g + 1) * size);
    return {
      x: times[g * size + ((own.length - 1) >> 1)],
      mean: own.reduce((a, b) => a + b) / own.length, low: Math.min(...own), high: Math.max(...own),
    };
  });
}

// The curve of a gate, over a band from least to greatest where frames are grouped.
function gateTraces(times, values, range, curve) {
  const groups = grouped(times, values, range);
  if (!groups) return [{ ...curve, x: times, y: values }];
  const x = groups.map((group) => group.x);
  const band = {
    mode: "none", fill: "toself", fillcolor: curve.line.color, opacity: 0.22, hoverinfo: "skip",
    showlegend: false, meta: `range of ${curve.meta}`,
    x: [...x, ...x.toReversed()],
    y: [...groups.map((group) => group.high), ...groups.map((group) => group.low).toReversed()],
  };
  return [band, { ...curve, x, y: groups.map((group) => group.mean) }];
}

// The attention that frames receive, a row for each kind; shades are logarithmic about the even share.
function attentionPanel(series, range, rows) {
  const reach = Math.min(3, Math.max(0.5, ...rows.map(({ values }) => values.reduce((m, v) => Math.max(m, Math.log2(v)), 0))));
  const near = (time) => range[0] - 1 <= time && time <= range[1] + 1;
  const cells = rows.map(({ values }) => {
    const groups = grouped(series.times, values, range);
    if (groups) return groups.map(({ x, mean }) => [x, mean]);
    return Array.from(values, (value, i) => [series.times[i], value]).filter(([x]) => near(x));
  });
  const ticks = reach < 1 ? [-reach, 0, reach] : [-3, -2, -1, 0, 1, 2, 3].filter((p) => Math.abs(p) <= reach);
  const shares = { "-3": "⅛", "-2": "¼", "-1": "½" };
  const height = Math.max(70, 22 * rows.length);
  return {
    title: `<b>attention received</b>, times an even share`,
    px: height,
    axis: {
      tickvals: rows.map((_, k) => k), ticktext: rows.map(({ name }) => plain(short(name, 9))),
      range: [rows.length - 0.5, -0.5], showgrid: false, zeroline: false, ticks: "", tickfont: { size: 10 },
    },
    margin: 46,
    traces: [{
      type: "heatmap", meta: "attention", x: cells[0].map(([x]) => x), y: rows.map((_, k) => k),
      z: cells.map((own) => own.map(([, v]) => Math.max(-reach, Math.min(reach, Math.log2(v))))),
      customdata: cells.map((own) => own.map(([, v]) => v)),
      text: cells.map((own, k) => own.map(() => plain(rows[k].name))),
      zmin: -reach, zmax: reach, xgap: 0, ygap: 2,
      colorscale: [[0, color("--series-2")], [0.5, color("--panel")], [1, color("--series-1")]],
      hovertemplate: "%{text}: %{customdata:.2f} times<extra></extra>",
      colorbar: {
        thickness: 8, outlinewidth: 0, xpad: 4, ypad: 0, lenmode: "pixels", len: height + 8, tickfont: { size: 10 },
        tickvals: ticks, ticktext: ticks.map((power) => shares[power] ?? String(+(2 ** power).toFixed(1))),
      },
    }],
  };
}

// The gates of one network: a panel for each, and one for all attention.
function gatePanels(video, series, range, run, network) {
  let from = 0;
  const attention = [];
  const panels = data.runs[run].gates.flatMap((gate) => {
    const values = gate.columns.map((_, c) => series.gates[run][from + c]);
    from += gate.columns.length;
    if (gate.network !== network) return [];
    if (gate.attention) {
      attention.push({ name: gate.gate.replace(/ attention$/, ""), values: values[0] });
      return [];
    }
    const weights = values.length > 1;
    const most = weights ? 1 : values[0].reduce((a, b) => Math.max(a, b));
    const traces = gate.columns.flatMap((name, c) =>
      gateTraces(series.times, values[c], range, {
        mode: "lines", name: plain(name), hovertemplate: "%{y:.2f}",
        meta: `gate: ${network}/${gate.gate}/${name}`,
        line: { color: runColor(c), width: 1.4, dash: of(dashes, c) },
      }),
    );
    return {
      title: `<b>gate: ${plain(gate.gate)}</b> (${plain(network)} network)`,
      px: 92,
      legend: weights,
      axis: { nticks: 4, rangemode: "tozero", ...(weights && { range: [0, 1] }) },
      traces: [...bands(video, series, 0, most), ...traces],
    };
  });
  return attention.length ? [...panels, attentionPanel(series, range, attention)] : panels;
}

// -- figure ---------------------------------------------------------------------------------------

// `shown` is {run, network} whose gates are drawn, or null; `range` the seconds that are in view.
function trajectories(index, series, shown, range) {
  const video = data.videos[index];
  const panels = data.targets.map((target, t) => targetPanel(video, series, target, t));
  if (video.lanes.length) panels.push(lanesPanel(video, series));
  if (shown) panels.push(...gatePanels(video, series, range, shown.run, shown.network));
  const GAP_PX = 26;
  const above = (panel) => GAP_PX + (panel.legend ? 18 : 0);
  const total = panels.reduce((sum, panel) => sum + panel.px + above(panel), 0);
  const legend = { orientation: "h", yanchor: "bottom", itemclick: false, itemdoubleclick: false };
  const note = { xref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false, x: 0 };
  const layout = { annotations: [] };
  let y = 0;
  const traces = panels.flatMap((panel, n) => {
    const id = n ? String(n + 1) : "";
    const title = 1 - (y + GAP_PX - 4) / total;
    const domain = [1 - (y + above(panel) + panel.px) / total, 1 - (y + above(panel)) / total];
    y += above(panel) + panel.px;
    layout[`yaxis${id}`] = { domain, fixedrange: true, ...panel.axis };
    layout.annotations.push({ ...note, text: panel.title, yref: "paper", y: title, font: { size: 12 } });
    layout.annotations.push(...(panel.notes || []).map((own) => ({ ...note, yref: `y${id}`, ...own })));
    const own = "legend" in panel ? { legend: `legend${id}` } : {};
    if (own.legend) {
      const place = { x: 0, xanchor: "left", y: domain[1] };
      layout[own.legend] = { ...legend, ...place, font: { size: 11 }, visible: panel.legend };
    }
    for (const trace of panel.traces) {
      if (trace.colorbar) Object.assign(trace.colorbar, { y: (domain[0] + domain[1]) / 2 });
    }
    return panel.traces.map((trace) => ({ ...trace, ...own, yaxis: `y${id}` }));
  });
  return {
    data: traces,
    layout: {
      ...layout,
      hovermode: "x",
      hoverdistance: -1,
      uirevision: `video ${index}`,
      height: total + 34 + 46,
      margin: { l: 46, r: Math.max(8, ...panels.map((panel) => panel.margin ?? 0)), t: 34, b: 46 },
      legend: { ...legend, x: 1, xanchor: "right", y: 1 },
      xaxis: {
        anchor: panels.length > 1 ? `y${panels.length}` : "y", title: { text: "seconds" }, zeroline: false,
        range, hoverformat: ".2f",
      },
    },
  };
}
