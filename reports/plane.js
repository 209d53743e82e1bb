"use strict";
// The plane of valence and arousal as densities, all in the same shades.
const Plane = (() => {
  const { data, el } = Page;
  const { byId, figure } = Report;
  const { bins, planes } = data.plane;
  const centres = Array.from({ length: bins }, (_, i) => -1 + (2 * i + 1) / bins);
  const most = Math.max(...planes.flatMap((plane) => plane.counts.flat()));

  function build(plane) {
    const { valence, arousal } = plane.summary;
    return {
      data: [
        {
          type: "heatmap",
          x: centres,
          y: centres,
          showscale: false,
          z: plane.counts.map((row) => row.map((n) => (n ? Math.log10(1 + n) : null))),
          zmin: 0,
          zmax: Math.log10(1 + most),
          customdata: plane.counts,
          colorscale: [
            [0, Page.color("--shade-low")],
            [1, Page.color("--shade-high")],
          ],
          hovertemplate: "valence %{x:.2f}, arousal %{y:.2f}: %{customdata} frames<extra></extra>",
        },
        {
          type: "scatter",
          mode: "markers",
          x: [valence.mean],
          y: [arousal.mean],
          showlegend: false,
          marker: {
            symbol: "cross-thin",
            size: 16,
            line: { width: 2.5, color: Page.color("--series-2") },
          },
          hovertemplate: "mean: %{x:.2f}, %{y:.2f}<extra></extra>",
        },
      ],
      layout: Page.layout({
        height: 306,
        margin: { l: 44, r: 8, t: 8, b: 44 },
        xaxis: Page.axis({
          range: [-1, 1],
          title: { text: "valence", standoff: 6 },
          fixedrange: true,
          nticks: 5,
        }),
        yaxis: Page.axis({
          range: [-1, 1],
          title: { text: "arousal", standoff: 6 },
          fixedrange: true,
          nticks: 5,
        }),
      }),
    };
  }

  async function show() {
    byId("plane-table").append(
      Page.table(
        "Annotated frames: mean, deviation, least and greatest",
        ["", "", "mean", "deviation", "least", "greatest"],
        planes.flatMap((plane) =>
          data.targets.map((target) => [
            plane.name,
            target,
            ...["mean", "deviation", "least", "greatest"].map((what) =>
              figure(plane.summary[target][what]),
            ),
          ]),
        ),
      ),
    );
    for (const [i, plane] of planes.entries()) {
      const holder = el("div", {
        class: "plot",
        id: `plot-plane-${i}`,
        role: "img",
        "aria-label": `density of ${plane.name}`,
      });
      byId("planes").append(el("figure", {}, el("figcaption", {}, plane.name), holder));
      await Page.figure(holder, () => build(plane));
    }
  }

  return { show };
})();
