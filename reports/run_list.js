// The list of videos: sorted, filtered by what went wrong, with CCC and intervals.
const state = { index: null, series: null, row: 0, player: null };

const length = (i) => data.videos[i].end - data.videos[i].start;
const worth = (i) => gain(data.videos[i], 1, "mean") ?? 0;
const share = (i, label) =>
  data.videos[i].lanes.reduce((rows, lane) => rows + (lane.label === label && lane.rows), 0) / data.videos[i].rows;
const lanes = [...new Set(data.videos.flatMap((video) => video.lanes.map((lane) => lane.label)))];
const lacking = (i) => Math.max(0, ...lanes.map((label) => label !== "no speech" && share(i, label)));
// The largest error of a video over runs and targets, in multiples of that of all frames.
const excess = (i) =>
  Math.max(...data.videos[i].within.flatMap(({ errors }, r) =>
    data.targets.map((target) => errors[target] / data.agreement[r][target].absolute)));
const orders = {
  "worst CCC first": (a, b) => a - b, // as the data are sorted
  "best CCC first": (a, b) => b - a,
  "largest error first": (a, b) => excess(b) - excess(a),
  "most missing first": (a, b) => lacking(b) - lacking(a),
  name: (a, b) => collator.compare(data.videos[a].id, data.videos[b].id),
  "longest first": (a, b) => length(b) - length(a),
  ...(several && {
    "largest loss first": (a, b) => worth(a) - worth(b),
    "largest gain first": (a, b) => worth(b) - worth(a),
  }),
};
const order = el("select", { id: "order", onchange: showList }, Object.keys(orders).map((name) => choice(name)));
const anyCCC = (i, fits) => data.videos[i].ccc.some((ccc) => data.targets.some((target) => fits(ccc[target])));
const filter = filterChoice(
  data.videos.length,
  [
    ["all videos", () => true],
    ...lanes.flatMap((label) => [
      [label, (i) => share(i, label) > 0],
      [`${label}: a quarter or more`, (i) => share(i, label) >= 0.25],
    ]),
    ["CCC of 0 or less", (i) => anyCCC(i, (value) => value !== null && value <= 0)],
    ["no CCC (not annotated)", (i) => anyCCC(i, (value) => value === null)],
    ["error 1.5 times the mean or more", (i) => excess(i) >= 1.5],
    ...(data.media ? [["no clip", (i) => !data.videos[i].media]] : []),
  ],
  showList,
);
const search = searchField(showList);

// The values of all runs, with bars from zero and whiskers over their intervals.
function gauges(values, intervals) {
  return values.map((value, r) => {
    if (value === null) return el("span.measure", "–");
    const spot = (x) => 20 + 80 * Math.max(-0.25, x);
    const stretch = (from, to) => ({ style: `left: ${from}%; width: ${to - from}%` });
    const [low, high] = [0, value].sort((a, b) => a - b).map(spot);
    const whisker = intervals[r] && el("i", stretch(...intervals[r].map(spot)));
    const gauge = el("span.gauge", { "aria-hidden": "true" }, el(`span.run-${r}`, stretch(low, high)), whisker);
    const bounds = !several && intervals[r] && el("span.interval", `[${inBrackets(intervals[r])}]`);
    return el("span.measure", figure3(value), gauge, bounds);
  });
}

function showList() {
  const named = search.value.toLowerCase();
  const indices = data.videos
    .map((_, i) => i)
    .filter((i) => filter.fits(i) && data.videos[i].id.toLowerCase().includes(named))
    .sort(orders[order.value]);
  const rows = indices.map((i) => {
    const video = data.videos[i];
    const gains = data.differences.map((_, d) => {
      const value = gain(video, d + 1, "mean");
      return el("span.measure", value === null ? "–" : signed(value));
    });
    return [
      { "data-video": i, "aria-current": i === state.index && "true" },
      [el("a", { href: `#video-${i}` }, breakable(video.id)), el("div.soft", `n = ${count(video.annotated)}`)],
      ...data.targets.map((target) =>
        gauges(video.ccc.map((ccc) => ccc[target]), video.within.map(({ intervals }) => intervals[target])),
      ),
      ...(several ? [gains] : []),
    ];
  });
  const runs = several ? `: ${data.runs.map((run) => run.name).join(", then ")}` : "";
  const head = ["video", ...data.targets, ...(several ? ["difference"] : [])];
  const list = bareTable(`CCC of each video${runs}`, head, rows);
  list.classList.toggle("comparing", several);
  at("video-list").replaceChildren(list);
  const left = `${count(indices.length)} of ${some(data.videos.length, "video")}`;
  at("video-count").textContent = indices.length < data.videos.length ? left : some(data.videos.length, "video");
  for (const id of ["previous", "next"]) at(id).disabled = !indices.length;
}

const listed = () => [...at("video-list").querySelectorAll("tr[data-video]")];

// Mark the open video, in view within the list.
function markCurrent() {
  for (const row of listed()) {
    const open = Number(row.dataset.video) === state.index;
    if (!open) row.removeAttribute("aria-current");
    else {
      const list = at("video-list");
      const place = row.getBoundingClientRect().top - list.getBoundingClientRect().top;
      row.setAttribute("aria-current", "true");
      if (place < 30 || place > list.clientHeight - 60) list.scrollTop += place - list.clientHeight / 2;
    }
  }
}

at("list-controls").append(controls({ "Sort by": order, Show: filter.select, "Name contains": search }));
