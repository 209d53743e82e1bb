"use strict";
// Learning curves and robustness.
const Curves = (() => {
  const { data, el } = Page;
  const { byId, columns, dashes, figure, of, plain, runColor, score, short, symbols } = Report;

  // -- learning ---------------------------------------------------------------------------------

  function learningFigure() {
    const traces = [];
    data.runs.forEach((run, r) =>
      run.metrics.forEach((network, n) => {
        const name = plain(
          `${data.runs.length > 1 ? short(run.name) + ", " : ""}${network.network}`,
        );
        const color = data.runs.length > 1 ? runColor(r) : runColor(n);
        const line = { color, width: 1.8, dash: of(dashes, n) };
        traces.push(
          {
            x: network.epoch,
            y: network.ccc,
            name,
            mode: "lines",
            line,
            legendgroup: name,
            hovertemplate: "%{y:.3f}",
          },
          {
            x: network.epoch,
            y: network.loss,
            name,
            mode: "lines",
            line,
            yaxis: "y2",
            legendgroup: name,
            showlegend: false,
            hovertemplate: "%{y:.3f}",
          },
        );
        const kept = network.epoch.indexOf(network.best);
        if (kept >= 0) {
          traces.push({
            x: [network.best],
            y: [network.ccc[kept]],
            name: `${name}, kept`,
            mode: "markers",
            marker: { symbol: "star", size: 12, color },
            showlegend: false,
            legendgroup: name,
            hovertemplate: "kept: %{y:.3f}",
          });
        }
      }),
    );
    return {
      data: traces,
      layout: Page.layout({
        height: 420,
        hovermode: "x",
        xaxis: Page.axis({ title: { text: "epoch", standoff: 8 }, anchor: "y2", zeroline: false }),
        yaxis: Page.axis({ domain: [0.5, 1], title: { text: "CCC", standoff: 8 } }),
        yaxis2: Page.axis({
          domain: [0, 0.42],
          title: { text: "loss", standoff: 8 },
          rangemode: "tozero",
        }),
      }),
    };
  }

  function showLearning() {
    const rows = data.runs.flatMap((run) =>
      run.metrics.flatMap((network) =>
        network.epoch.map((epoch, i) => [
          run.name,
          network.network,
          String(epoch),
          figure(network.loss[i]),
          figure(network.ccc[i]),
          epoch === network.best ? "kept" : "",
        ]),
      ),
    );
    byId("learning-table").append(
      Page.table("Epochs", ["run", "network", "epoch", "loss", "validation CCC", ""], rows),
    );
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
        const extra =
          (seed ? `, seed ${seed}` : "") +
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
    const traces = curvesOf(kind).flatMap(({ r, name, points }, c) =>
      columns.map((target, t) => ({
        type: "scatter",
        mode: "lines+markers",
        name: plain(`${data.runs.length > 1 || c ? short(name) + ", " : ""}${target}`),
        x: points.map((point) => point.corruption.severity),
        y: points.map((point) => point.ccc[target]),
        line: {
          color: runColor(r),
          width: target === "mean" ? 2.5 : 1.3,
          dash: of(["dot", "dash", "solid"], t),
        },
        marker: { symbol: of(symbols, r), size: 7 },
        hovertemplate: "%{y:.3f}",
      })),
    );
    return {
      data: traces,
      layout: Page.layout({
        height: 300,
        hovermode: "x",
        margin: { l: 58, r: 12, t: 60, b: 46 },
        xaxis: Page.axis({ title: { text: data.kinds[kind], standoff: 8 }, zeroline: false }),
        yaxis: Page.axis({ title: { text: "CCC", standoff: 8 } }),
      }),
    };
  }

  async function showRobustness() {
    const without = data.runs.filter((run) => !run.points.length);
    for (const run of without) {
      byId("robustness-note").append(
        el(
          "p",
          {},
          `${run.name} has no curves stored. This measures one: `,
          el(
            "code",
            {},
            `vapipe evaluate ${run.path} --partition ${data.partition} --corrupt drop-audio=0,0.25,0.5,0.75,1`,
          ),
        ),
      );
    }
    const kinds = Object.keys(data.kinds).filter((kind) => curvesOf(kind).length);
    if (!kinds.length) return;
    const rows = kinds.flatMap((kind) =>
      curvesOf(kind).flatMap(({ name, points }) =>
        points.map((point) => [
          kind,
          name,
          String(point.corruption.severity),
          ...columns.map((target) =>
            score(point.ccc[target], point.ccc_interval && point.ccc_interval[target]),
          ),
        ]),
      ),
    );
    byId("robustness-table").append(
      el(
        "details",
        {},
        el("summary", {}, "All points as a table"),
        Page.table("CCC under damage", ["damage", "run", "severity", ...columns], rows),
      ),
    );
    for (const kind of kinds) {
      const holder = el("div", {
        class: "plot",
        id: `plot-${kind}`,
        role: "img",
        "aria-label": `CCC under ${kind}, as in the table`,
      });
      byId("curves").append(el("figure", {}, el("figcaption", {}, kind), holder));
      await Page.figure(holder, () => curveFigure(kind));
    }
  }

  return { showLearning, showRobustness };
})();
