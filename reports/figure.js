"use strict";
// The series of one video, decoded when it is opened, and the figure of its trajectories.
const Trajectories = (() => {
  const { data } = Page;
  const { of, dashes, plain, short, runColor } = Report;
  const GAP = -32768;
  const HEIGHT = { curve: 190, lane: 24, gate: 92, gap: 26, legend: 18, top: 34, bottom: 46 };
  const recent = new Map();

  // -- series -----------------------------------------------------------------------------------

  // Undo differences along time, in place; sums wrap around as the differences did.
  function summed(whole, rows) {
    for (let i = 0; i < whole.length; i++) if (i % rows) whole[i] += whole[i - 1];
    return whole;
  }

  function scaled(steps, rows, step) {
    const whole = summed(steps, rows);
    return Array.from({ length: whole.length / rows }, (_, column) => {
      const values = new Float32Array(rows);
      for (let i = 0; i < rows; i++) {
        const value = whole[column * rows + i];
        values[i] = value === GAP ? NaN : value * step;
      }
      return values;
    });
  }

  async function times(index) {
    const video = data.videos[index];
    if (!video.constant) return Page.array(`v${index}-times`, "float64");
    return Float64Array.from({ length: video.rows }, (_, i) => video.start + i * video.step);
  }

  async function gatesOf(index, r) {
    const video = data.videos[index],
      range = video.gates[r];
    if (!range) return null;
    const whole = summed(await Page.array(`v${index}-gates${r}`, "uint8"), video.rows);
    return range.low.map((low, column) => {
      const values = new Float32Array(video.rows),
        step = (range.high[column] - low) / data.gateSteps;
      for (let i = 0; i < video.rows; i++) values[i] = low + step * whole[column * video.rows + i];
      return values;
    });
  }

  // {times, labels: [target], runs: [run][target], gates: [run][column] or null}
  async function load(index) {
    if (recent.has(index)) return recent.get(index);
    const video = data.videos[index];
    const series = {
      times: await times(index),
      labels: scaled(await Page.array(`v${index}-labels`, "int16"), video.rows, video.labelStep),
      runs: await Promise.all(
        data.runs.map(async (_, r) =>
          scaled(await Page.array(`v${index}-run${r}`, "int16"), video.rows, video.steps[r]),
        ),
      ),
      gates: await Promise.all(data.runs.map((_, r) => gatesOf(index, r))),
    };
    recent.set(index, series);
    if (recent.size > 4) recent.delete(recent.keys().next().value);
    return series;
  }

  // -- panels -----------------------------------------------------------------------------------

  // Which columns of a run's gates each panel shows: of one network, one panel per gate.
  function gatePanels(run, network) {
    let from = 0;
    return (data.runs[run].gates || [])
      .map((gate) => {
        const panel = { ...gate, from };
        from += gate.columns.length;
        return panel;
      })
      .filter((panel) => panel.network === network);
  }

  const shade = { visual: "--band-1", audio: "--band-2", labels: "--band-3" };

  function bands(video, series, axis, low, high) {
    const at = (row) => (row < video.rows ? series.times[row] : video.end);
    return video.lanes.map((lane) => {
      const x = [],
        y = [];
      for (let i = 0; i < lane.spans.length; i += 2) {
        const [a, b] = [at(lane.spans[i]), at(lane.spans[i + 1])];
        x.push(a, a, b, b, null);
        y.push(low, high, high, low, null);
      }
      return {
        type: "scatter",
        mode: "none",
        fill: "toself",
        fillcolor: Page.color(shade[lane.kind]),
        x,
        y,
        yaxis: axis,
        hoverinfo: "skip",
        showlegend: false,
        meta: `band: ${lane.label}`,
      };
    });
  }

  function curves(series, t, axis) {
    const shown = t === 0;
    const target = data.targets[t];
    const trace = (y, name, line, meta) => ({
      type: "scatter",
      mode: "lines",
      x: series.times,
      y,
      yaxis: axis,
      name,
      line,
      meta,
      legendgroup: name,
      showlegend: shown,
      connectgaps: false,
      hovertemplate: "%{y:.3f}",
    });
    return [
      trace(
        series.labels[t],
        "annotation",
        { color: Page.color("--annotation"), width: 3.6 },
        `annotation: ${target}`,
      ),
      ...data.runs.map((run, r) =>
        trace(
          series.runs[r][t],
          plain(short(run.name)),
          {
            color: runColor(r),
            width: r ? 1.8 : 1.5,
            dash: of(["solid", "dot", "dash", "dashdot"], r),
          },
          `run ${r}: ${target}`,
        ),
      ),
    ];
  }

  function lanesOf(video, series, axis) {
    const at = (row) => (row < video.rows ? series.times[row] : video.end);
    return video.lanes.map((lane, k) => {
      const x = [],
        y = [];
      for (let i = 0; i < lane.spans.length; i += 2) {
        x.push(at(lane.spans[i]), at(lane.spans[i + 1]), null);
        y.push(k, k, null);
      }
      return {
        type: "scatter",
        mode: "lines",
        x,
        y,
        yaxis: axis,
        showlegend: false,
        hoverinfo: "skip",
        line: {
          color: Page.color(
            { visual: "--series-2", audio: "--series-1", labels: "--soft" }[lane.kind],
          ),
          width: 7,
        },
        meta: `lane: ${lane.label}`,
      };
    });
  }

  function gateTraces(series, run, panel, axis, legend) {
    return panel.columns.map((name, c) => ({
      type: "scatter",
      mode: "lines",
      x: series.times,
      y: series.gates[run][panel.from + c],
      yaxis: axis,
      name: plain(name),
      legend,
      meta: `gate: ${panel.network}/${panel.gate}/${name}`,
      line: { color: Page.color(`--series-${(c % 6) + 1}`), width: 1.4, dash: of(dashes, c) },
      hovertemplate: "%{y:.2f}",
    }));
  }

  // -- figure -----------------------------------------------------------------------------------

  // `shown` is {run, network} whose gates are drawn, or null.
  function build(index, series, shown) {
    const video = data.videos[index];
    const traces = [],
      layout = {},
      notes = [],
      panels = [];
    data.targets.forEach((target, t) =>
      panels.push({ kind: "curve", px: HEIGHT.curve, target, t }),
    );
    if (video.lanes.length) panels.push({ kind: "lanes", px: HEIGHT.lane * video.lanes.length });
    const own = shown ? gatePanels(shown.run, shown.network) : [];
    for (const panel of own) panels.push({ kind: "gate", px: HEIGHT.gate, panel });
    const above = (panel) =>
      HEIGHT.gap + (panel.kind === "gate" && panel.panel.columns.length > 1 ? HEIGHT.legend : 0);
    const total = panels.reduce((sum, panel) => sum + panel.px + above(panel), 0);
    let y = 0;
    panels.forEach((panel, n) => {
      const name = n ? `y${n + 1}` : "y",
        key = n ? `yaxis${n + 1}` : "yaxis";
      const title = 1 - (y + HEIGHT.gap - 4) / total;
      y += above(panel);
      const domain = [1 - (y + panel.px) / total, 1 - y / total];
      y += panel.px;
      const label = (text, extra) =>
        notes.push({
          text,
          xref: "paper",
          yref: "paper",
          x: 0,
          y: title,
          xanchor: "left",
          yanchor: "bottom",
          showarrow: false,
          font: { size: 12 },
          ...extra,
        });
      if (panel.kind === "curve") {
        const all = [series.labels[panel.t], ...series.runs.map((run) => run[panel.t])];
        const most = Math.max(
          1,
          ...all.map((values) => values.reduce((m, v) => (Math.abs(v) > m ? Math.abs(v) : m), 0)),
        );
        traces.push(...bands(video, series, name, -most, most), ...curves(series, panel.t, name));
        layout[key] = Page.axis({ domain, range: [-most, most], fixedrange: true, nticks: 5 });
        label(`<b>${panel.target}</b>`);
      } else if (panel.kind === "lanes") {
        traces.push(...lanesOf(video, series, name));
        layout[key] = Page.axis({
          domain,
          range: [video.lanes.length - 0.6, -0.9],
          fixedrange: true,
          showgrid: false,
          zeroline: false,
          showticklabels: false,
        });
        label("<b>missing</b>");
        video.lanes.forEach((lane, k) =>
          notes.push({
            text: plain(`${lane.label}, ${Math.round((1000 * lane.rows) / video.rows) / 10} %`),
            xref: "paper",
            yref: name,
            x: 0.005,
            y: k - 0.12,
            xanchor: "left",
            yanchor: "bottom",
            showarrow: false,
            font: { size: 10, color: Page.color("--soft") },
          }),
        );
      } else {
        const legend = `legend${n + 1}`;
        const { panel: gate } = panel;
        const columns = gate.columns.map((_, c) => series.gates[shown.run][gate.from + c]);
        const weights = gate.columns.length > 1;
        traces.push(
          ...bands(
            video,
            series,
            name,
            0,
            weights ? 1 : columns[0].reduce((a, b) => Math.max(a, b)),
          ),
          ...gateTraces(series, shown.run, gate, name, legend),
        );
        layout[key] = Page.axis({
          domain,
          fixedrange: true,
          nticks: 4,
          rangemode: "tozero",
          ...(weights ? { range: [0, 1] } : {}),
        });
        layout[legend] = {
          orientation: "h",
          x: 0,
          xanchor: "left",
          y: domain[1],
          yanchor: "bottom",
          font: { size: 11 },
          visible: weights,
          itemclick: false,
          itemdoubleclick: false,
        };
        label(`<b>gate: ${plain(gate.gate)}</b> (${plain(gate.network)} network)`);
      }
    });
    const last = panels.length > 1 ? `y${panels.length}` : "y";
    return {
      data: traces,
      layout: Page.layout({
        ...layout,
        annotations: notes,
        hovermode: "x",
        hoverdistance: -1,
        dragmode: "zoom",
        uirevision: `video ${index}`,
        height: total + HEIGHT.top + HEIGHT.bottom,
        margin: { l: 40, r: 8, t: HEIGHT.top, b: HEIGHT.bottom },
        legend: {
          orientation: "h",
          x: 1,
          xanchor: "right",
          y: 1,
          yanchor: "bottom",
          itemclick: false,
          itemdoubleclick: false,
        },
        xaxis: Page.axis({
          anchor: last,
          title: { text: "seconds", standoff: 8 },
          zeroline: false,
          range: [series.times[0], video.end],
          hoverformat: ".2f",
        }),
      }),
    };
  }

  return { load, build, gatePanels };
})();
