"use strict";
// Scores beside published ones, and the difference between runs.
const Scores = (() => {
  const { data, el } = Page;
  const { byId, columns, count, figure, gain, of, plain, runColor, score, short, signed, symbols } =
    Report;

  // -- scores -----------------------------------------------------------------------------------

  function describe(run) {
    return `${run.head}${run.variant ? ` (${run.variant})` : ""}`;
  }

  function showHeadline() {
    const frames = Math.max(...Object.values(data.runs[0].evaluation.frames));
    byId("about").append(
      el(
        "p",
        {},
        `Partition ${data.partition}: ${count(data.videos.length)} videos, ${count(frames)} ` +
          `annotated frames. ` +
          data.runs.map((run) => `${run.name}: head ${describe(run)}`).join("; ") +
          ".",
      ),
    );
    const rows = [],
      kinds = [];
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
      rows.push([
        `${head} on Aff-Wild2, published`,
        ...columns.map((name) => figure(published[name])),
      ]);
      kinds.push("other");
    }
    const caption =
      "CCC over all annotated frames" +
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
      notes.append(
        el(
          "p",
          { class: "soft" },
          `${data.published} Reported by others; where the videos of this page are not that set, on other data.`,
        ),
      );
    }
    for (const run of data.runs) {
      const smoothing = run.evaluation.smoothing;
      if (smoothing) {
        notes.append(
          el(
            "p",
            { class: "notice" },
            `${run.name} is smoothed: ${smoothing.method} over ${smoothing.seconds} s.`,
          ),
        );
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
        type: "scatter",
        mode: "markers",
        name: plain(short(run.name)),
        x: columns.map((name) => ccc[name]),
        y: columns.map((_, row) => place(row, i)),
        marker: { symbol: of(symbols, i), size: 9, color: runColor(i) },
        hovertemplate: "%{x:.3f}",
      };
      if (bounds) {
        trace.error_x = {
          type: "data",
          symmetric: false,
          thickness: 1.5,
          width: 4,
          color: runColor(i),
          array: columns.map((name) => bounds[name][1] - ccc[name]),
          arrayminus: columns.map((name) => ccc[name] - bounds[name][0]),
        };
      }
      return trace;
    });
    others.forEach(({ head, published }, i) =>
      traces.push({
        type: "scatter",
        mode: "markers",
        name: plain(`${head} on Aff-Wild2, published`),
        x: columns.map((name) => published[name]),
        y: columns.map((_, row) => place(row, data.runs.length + i)),
        marker: { symbol: "x-thin", size: 9, line: { width: 2, color: Page.color("--soft") } },
        hovertemplate: "%{x:.3f}",
      }),
    );
    const lowest = Math.min(
      0,
      ...traces.flatMap((t) => t.x.map((x, i) => x - (t.error_x ? t.error_x.arrayminus[i] : 0))),
    );
    return {
      data: traces,
      layout: Page.layout({
        height: 100 + 3 * (22 + 16 * lines),
        margin: { l: 62, r: 12, t: 36, b: 44 },
        xaxis: Page.axis({
          range: [lowest - 0.03, 1],
          title: { text: "CCC", standoff: 8 },
          fixedrange: true,
        }),
        yaxis: Page.axis({
          range: [2.6, -0.6],
          tickvals: [0, 1, 2],
          ticktext: columns,
          showgrid: false,
          zeroline: false,
          fixedrange: true,
        }),
      }),
    };
  }

  // -- differences ------------------------------------------------------------------------------

  function showDifference(open) {
    if (!data.differences.length) return null;
    byId("difference").hidden = byId("to-difference").hidden = false;
    data.differences.forEach((_, i) => {
      const gains = data.videos.map((video) => gain(video, i + 1, "mean"));
      const [better, worse] = [
        gains.filter((g) => g > 0),
        gains.filter((g) => g !== null && g < 0),
      ];
      byId("difference-words").append(
        el(
          "p",
          {},
          `By its mean CCC ${data.runs[i + 1].name} is better than ${data.runs[0].name} in ` +
            `${better.length} of ${data.videos.length} videos and worse in ${worse.length}.`,
        ),
      );
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
      data.targets.forEach((target, t) =>
        traces.push({
          type: "scatter",
          mode: "markers",
          name: plain(
            `${data.differences.length > 1 ? short(data.runs[i + 1].name) + ", " : ""}${target}`,
          ),
          x: order.map((_, rank) => rank + 1),
          y: order.map(({ video }) => gain(video, i + 1, target)),
          customdata: order.map(({ video, number }) => [number, plain(short(video.id, 60))]),
          hovertemplate: "%{customdata[1]}: %{y:+.3f}",
          marker: {
            symbol: of(symbols, t) + (t ? "-open" : ""),
            size: 8,
            color: data.differences.length > 1 ? runColor(i + 1) : runColor(t),
            line: { width: 1.5 },
          },
        }),
      );
    });
    return {
      data: traces,
      layout: Page.layout({
        height: 300,
        xaxis: Page.axis({
          title: { text: "videos, sorted", standoff: 8 },
          showgrid: false,
          showticklabels: false,
          zeroline: false,
        }),
        yaxis: Page.axis({ title: { text: "difference of CCC", standoff: 8 }, zerolinewidth: 2 }),
      }),
    };
  }

  return { showHeadline, showDifference };
})();
