// The sections of errors and of the plane: squares whose cells are counts of frames.

// Counts of frames in the cells of a square, in logarithmic shades up to `most`, with their key.
function heatmap(counts, centres, most, hover) {
  const steps = [1, 10, 100, 1000, 10000, 100000].filter((n) => n === 1 || n <= most);
  return {
    type: "heatmap", x: centres, y: centres, customdata: counts,
    z: counts.map((row) => row.map((n) => (n ? Math.log10(1 + n) : null))),
    zmin: 0, zmax: Math.log10(1 + most),
    colorscale: [[0, color("--shade-low")], [1, color("--shade-high")]],
    colorbar: {
      thickness: 9, outlinewidth: 0, xpad: 4, ypad: 0, title: { text: "frames", side: "right" },
      tickvals: steps.map((n) => Math.log10(1 + n)), ticktext: steps.map(count),
    },
    hovertemplate: `${hover}: %{customdata} frames<extra></extra>`,
  };
}

const heatmapMargin = { l: 44, r: 62, t: 8, b: 44 };
const greatest = (counts) => Math.max(...counts.flat());
// The middles of equal parts of [-most, most].
const binCentres = (most, bins = data.plane.bins) =>
  Array.from({ length: bins }, (_, i) => most * (-1 + (2 * i + 1) / bins));

async function showAgreement() {
  const measures = ["mean", "deviation", "absolute"];
  const rows = data.runs.flatMap(({ name }, r) =>
    data.targets.map((target) => [
      name, target, ...measures.map((what) => figure3(data.agreement[r][target][what])),
    ]),
  );
  const head = ["", "", "mean", "deviation", "mean absolute"];
  at("error-table").append(table("Error: prediction minus annotation", head, rows));
  for (const [t, target] of data.targets.entries()) {
    for (const [r, run] of data.runs.entries()) {
      const own = data.agreement[r][target];
      const caption = `${prefix(run.name)}${target}`;
      const holder = addPlot("pairs", `plot-pairs-${r}-${t}`, caption, `predicted against annotated ${caption}`);
      await plot(holder, () => pairsFigure(own));
    }
    const holder = addPlot("pairs", `plot-errors-${t}`, `error of ${target}`, `histogram of errors of ${target}`);
    await plot(holder, () => errorsFigure(target));
  }
}

function pairsFigure({ most, counts }) {
  const axis = (text) => ({ range: [-most, most], title: { text }, fixedrange: true, nticks: 5 });
  const pairs = heatmap(counts, binCentres(most), greatest(counts), "annotated %{x:.2f}, predicted %{y:.2f}");
  const equal = {
    mode: "lines", x: [-most, most], y: [-most, most], showlegend: false, hoverinfo: "skip",
    line: { color: color("--series-2"), width: 1.5, dash: "dash" },
  };
  const layout = { height: 306, margin: heatmapMargin, xaxis: axis("annotated"), yaxis: axis("predicted") };
  return { data: [pairs, equal], layout };
}

function errorsFigure(target) {
  const traces = data.runs.map(({ name }, r) => {
    const { most, errors } = data.agreement[r][target];
    const total = errors.reduce((a, b) => a + b);
    return {
      mode: "lines", name: plain(short(name, 20)), x: binCentres(2 * most, errors.length), y: errors.map((n) => (100 * n) / total),
      line: { shape: "hvh", color: runColor(r), width: 1.8, dash: of(dashes, r) }, fill: several ? "none" : "tozeroy",
      hovertemplate: "error %{x:.2f}: %{y:.1f} % of the frames<extra></extra>", showlegend: several,
    };
  });
  // Symmetric about zero, as far as there are errors.
  const reach = Math.max(...traces.flatMap(({ x, y }) => x.map((at, i) => (y[i] ? Math.abs(at) : 0))));
  const layout = {
    height: 306,
    margin: { l: 44, r: 8, t: several ? 28 : 8, b: 44 },
    xaxis: { title: { text: "error" }, range: [-reach - 0.05, reach + 0.05], fixedrange: true, nticks: 5 },
    yaxis: { title: { text: "% of frames" }, fixedrange: true, rangemode: "tozero" },
  };
  return { data: traces, layout };
}

async function showPlane() {
  const { planes } = data.plane;
  const measures = ["mean", "deviation", "least", "greatest"];
  const rows = planes.flatMap(({ name, summary }) =>
    data.targets.map((target) => [
      name, target, ...measures.map((what) => figure3(summary[target][what])),
    ]),
  );
  const caption = "Annotated frames: mean, deviation, least and greatest";
  at("plane-table").append(table(caption, ["", "", ...measures], rows));
  if (!planes[0].counts.length) at("plane-title").textContent = "Values";
  for (const [i, plane] of planes.entries()) {
    if (!plane.counts.length) continue; // the targets are others than valence and arousal
    const holder = addPlot("planes", `plot-plane-${i}`, plane.name, `density of ${plane.name}`);
    await plot(holder, () => planeFigure(plane));
  }
}

function planeFigure({ counts, summary: { valence, arousal } }) {
  const most = Math.max(...data.plane.planes.map((plane) => greatest(plane.counts)));
  const axis = (text) => ({ range: [-1, 1], title: { text }, fixedrange: true, nticks: 5 });
  const density = heatmap(counts, binCentres(1), most, "valence %{x:.2f}, arousal %{y:.2f}");
  const mean = {
    mode: "markers", x: [valence.mean], y: [arousal.mean], showlegend: false,
    marker: { symbol: "cross-thin", size: 16, line: { width: 2.5, color: color("--series-2") } },
    hovertemplate: "mean: %{x:.2f}, %{y:.2f}<extra></extra>",
  };
  const layout = { height: 306, margin: heatmapMargin, xaxis: axis("valence"), yaxis: axis("arousal") };
  return { data: [density, mean], layout };
}
