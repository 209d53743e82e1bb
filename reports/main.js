"use strict";
// Everything in the order in which it is read; plots follow one by one, so that the page answers.
(async () => {
  const { data, el, table, code } = Page;
  const { byId } = Report;

  function showProvenance() {
    for (const run of data.runs) {
      byId("provenance-list").append(
        el(
          "details",
          {},
          el("summary", {}, `${run.name}: what it was trained on`),
          table(
            "Streams",
            ["role", "stream", "channels", "modality", "key"],
            run.streams.map((s) => [s.role, s.stream, String(s.dim), s.modality, s.key]),
          ),
          table(
            "Cache",
            ["", ""],
            [
              ["path", run.cache.path],
              ["digest", run.cache.digest],
              ...Object.entries(run.trained).map(([part, n]) => [`${part} videos`, String(n)]),
            ],
          ),
        ),
        ...Object.entries(run.provenance).map(([file, value]) =>
          el("details", {}, el("summary", {}, `${run.name}: ${file}`), code(value)),
        ),
      );
    }
  }

  showProvenance();
  await Scores.showHeadline();
  await Videos.start();
  await Scores.showDifference(Videos.go);
  await Plane.show();
  await Curves.showLearning();
  await Curves.showRobustness();
  document.body.dataset.ready = "yes";
})();
