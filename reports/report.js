"use strict";
// Words, marks and measures that all parts of the report share.
const Report = (() => {
  const { data, el } = Page;
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
      const text = interval
        .map((bound) => bound.toFixed(2))
        .join(", ")
        .replaceAll("-", "−");
      cell.append(" ", el("span", { class: "interval" }, `[${text}]`));
    }
    return cell;
  }

  const mean = (ccc) => {
    const known = data.targets.map((name) => ccc[name]).filter((value) => value !== null);
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
  };

  function gain(video, run, target) {
    const pick = (ccc) => (target === "mean" ? mean(ccc) : ccc[target]);
    const [first, other] = [pick(video.ccc[0]), pick(video.ccc[run])];
    return first === null || other === null ? null : other - first;
  }

  return {
    columns,
    symbols,
    dashes,
    of,
    runColor,
    byId,
    plain,
    short,
    figure,
    signed,
    count,
    score,
    mean,
    gain,
  };
})();
