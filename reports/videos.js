"use strict";
// The list of videos, and the one that is open: player, cursor, values, trajectories.
const Videos = (() => {
  const { data, el } = Page;
  const { byId, figure, signed, gain, count, short } = Report;
  const comparing = data.runs.length > 1;
  const state = { index: null, series: null, row: 0, player: null, shown: null };
  const plot = byId("plot-video"),
    slider = byId("frame"),
    cursor = byId("cursor");

  // -- the list ---------------------------------------------------------------------------------

  const orders = {
    "worst CCC first": (a, b) => a - b, // as the data are sorted
    "best CCC first": (a, b) => b - a,
    name: (a, b) => (data.videos[a].id < data.videos[b].id ? -1 : 1),
    "longest first": (a, b) => length(b) - length(a),
  };
  if (comparing) {
    orders["largest loss first"] = (a, b) => worth(a) - worth(b);
    orders["largest gain first"] = (a, b) => worth(b) - worth(a);
  }
  const length = (i) => data.videos[i].end - data.videos[i].start;
  const worth = (i) => gain(data.videos[i], 1, "mean") ?? 0;

  function measure(values) {
    return values.map((value, r) => {
      if (value === null) return el("span", { class: "measure" }, "–");
      const width = Math.min(Math.abs(value), value < 0 ? 0.25 : 1) * 80;
      const place = value < 0 ? 20 - width : 20;
      return el(
        "span",
        { class: "measure" },
        figure(value),
        el(
          "span",
          { class: "bar", "aria-hidden": "true" },
          el("span", { class: `run-${r}`, style: `left: ${place}%; width: ${width}%` }),
        ),
      );
    });
  }

  // Long names break after their separators.
  const breakable = (name) =>
    name.split(/(?<=[_./-])(?=.)/).flatMap((part, i) => (i ? [el("wbr"), part] : [part]));

  function showList() {
    const indices = data.videos.map((_, i) => i).sort(orders[byId("order").value]);
    const head = ["video", ...data.targets, ...(comparing ? ["difference"] : [])];
    const rows = indices.map((i) => {
      const video = data.videos[i];
      const link = el("a", { href: `#video-${i}` }, breakable(video.id));
      return el(
        "tr",
        { "data-video": i, "aria-current": i === state.index ? "true" : null },
        el("th", { scope: "row" }, link),
        data.targets.map((target) => el("td", {}, measure(video.ccc.map((ccc) => ccc[target])))),
        comparing
          ? el(
              "td",
              {},
              data.differences.map((_, d) => {
                const value = gain(video, d + 1, "mean");
                return el("span", { class: "measure" }, value === null ? "–" : signed(value));
              }),
            )
          : null,
      );
    });
    byId("video-list").replaceChildren(
      el(
        "table",
        { class: comparing ? "comparing" : null },
        el(
          "caption",
          {},
          comparing
            ? `CCC of each video: ${data.runs.map((run) => run.name).join(", then ")}`
            : "CCC of each video",
        ),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            head.map((cell) => el("th", { scope: "col" }, cell)),
          ),
        ),
        el("tbody", {}, rows),
      ),
    );
  }

  function markCurrent() {
    for (const row of byId("video-list").querySelectorAll("tr[data-video]")) {
      if (Number(row.dataset.video) === state.index) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
  }

  // -- the cursor -------------------------------------------------------------------------------

  // The frame that is shown at a time: the last one that began before.
  function rowAt(seconds) {
    const { times } = state.series;
    let low = 0,
      high = times.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (times[middle] <= seconds + 1e-6) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  function placeCursor() {
    if (!state.series || !plot._fullLayout) return;
    const { xaxis, _size: size } = plot._fullLayout;
    const seconds = state.series.times[state.row];
    const share = (seconds - xaxis.range[0]) / (xaxis.range[1] - xaxis.range[0]);
    cursor.hidden = share < 0 || share > 1;
    cursor.style.left = `${size.l + share * size.w - 1}px`;
    cursor.style.top = `${size.t}px`;
    cursor.style.height = `${size.h}px`;
    cursor.dataset.seconds = seconds;
  }

  function show(row) {
    state.row = row;
    slider.value = row;
    const { times, labels, runs } = state.series;
    const lines = data.targets.map((target, t) => [
      target,
      figureOrGap(labels[t][row]),
      ...runs.map((run) => figureOrGap(run[t][row])),
    ]);
    const missing = data.videos[state.index].lanes
      .filter(({ spans }) =>
        spans.some((from, i) => i % 2 === 0 && from <= row && row < spans[i + 1]),
      )
      .map((lane) => lane.label);
    const words =
      `${times[row].toFixed(2)} s, frame ${row}` +
      (missing.length ? `: ${missing.join(", ")}` : "");
    byId("readout").replaceChildren(
      el(
        "table",
        {},
        el("caption", {}, words),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ["", "annotation", ...data.runs.map((run) => run.name)].map((cell) =>
              el("th", { scope: "col" }, cell),
            ),
          ),
        ),
        el(
          "tbody",
          {},
          lines.map(([name, ...cells]) =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, name),
              cells.map((cell) => el("td", {}, cell)),
            ),
          ),
        ),
      ),
    );
    slider.setAttribute(
      "aria-valuetext",
      `${words}. ` +
        lines
          .map(
            ([name, label, ...rest]) => `${name}: annotated ${label}, predicted ${rest.join(", ")}`,
          )
          .join("; "),
    );
    placeCursor();
  }

  const figureOrGap = (value) => (Number.isNaN(value) ? "–" : figure(value));

  // Move the cursor and the clip; a little after the frame began, so that this frame is shown.
  function seek(row) {
    show(row);
    if (state.player) state.player.currentTime = state.series.times[row] + 1e-3;
  }

  // -- the clip ---------------------------------------------------------------------------------

  function showPlayer(video) {
    const place = byId("player");
    place.replaceChildren();
    state.player = null;
    if (!data.media) return;
    if (!video.media) {
      place.append(
        el("p", { class: "soft" }, `No file for ${video.file} in the folder of --media.`),
      );
      return;
    }
    const player = el("video", {
      src: video.media,
      controls: true,
      preload: "metadata",
      playsinline: true,
      "aria-label": `clip ${video.file}`,
    });
    const follow = () => {
      if (state.player !== player || !state.series) return;
      const row = rowAt(player.currentTime);
      if (row !== state.row) show(row);
    };
    const keepUp = () => {
      follow();
      if (!player.paused && state.player === player) requestAnimationFrame(keepUp);
    };
    player.addEventListener("play", keepUp);
    for (const event of ["timeupdate", "seeking", "seeked"]) player.addEventListener(event, follow);
    player.addEventListener(
      "error",
      () => place.append(el("p", { class: "notice" }, `This browser cannot play ${video.file}.`)),
      { once: true },
    );
    state.player = player;
    place.append(player);
  }

  // -- one video --------------------------------------------------------------------------------

  function fillGates() {
    const select = byId("gates");
    select.replaceChildren(el("option", { value: "" }, "none"));
    data.runs.forEach((run, r) => {
      for (const network of new Set((run.gates || []).map((gate) => gate.network))) {
        select.append(
          el(
            "option",
            { value: `${r}:${network}` },
            `${comparing ? `${short(run.name)}, ` : ""}${network} network`,
          ),
        );
      }
    });
    select.value = (select.options[1] || select.options[0]).value;
    select.disabled = select.options.length === 1;
    const note = byId("gates-note");
    for (const run of data.runs) {
      if (run.gates === null) {
        note.append(
          el(
            "p",
            { class: "notice" },
            `${run.name} has no gates stored. This stores them: `,
            el("code", {}, run.gatesCommand),
          ),
        );
      } else if (!run.gates.length) {
        note.append(
          el(
            "p",
            { class: "soft" },
            `Head ${run.head} of ${run.name} has no gates of single frames.`,
          ),
        );
      }
    }
  }

  function chosenGates() {
    const [run, network] = byId("gates").value.split(/:(.*)/s);
    return run === "" ? null : { run: Number(run), network };
  }

  async function draw() {
    const { index, series } = state;
    state.shown = chosenGates();
    await Page.figure(plot, () => Trajectories.build(index, series, state.shown));
    placeCursor();
  }

  async function open(index, { focus = false } = {}) {
    const video = data.videos[index];
    state.index = index;
    markCurrent();
    byId("video-name").textContent = video.id;
    byId("video-facts").textContent =
      `${count(video.rows)} frames, ${(video.end - video.start).toFixed(1)} s at ${video.fps.toFixed(2)} fps, ` +
      `${count(video.annotated)} annotated. ` +
      data.runs
        .map(
          (run, r) =>
            `${comparing ? `${run.name}: ` : ""}CCC ` +
            data.targets.map((target) => `${target} ${figure(video.ccc[r][target])}`).join(", "),
        )
        .join("; ") +
      ".";
    state.series = null;
    showPlayer(video);
    slider.max = video.rows - 1;
    if (focus) byId("video-name").focus();
    const series = await Trajectories.load(index);
    if (state.index !== index) return; // another one was opened meanwhile
    state.series = series;
    show(0);
    await draw();
    byId("detail").dataset.open = index;
  }

  function go(index) {
    location.hash = `#video-${index}`;
  }

  function fromAddress() {
    const match = /^#video-(\d+)$/.exec(location.hash);
    return match && Number(match[1]) < data.videos.length ? Number(match[1]) : null;
  }

  function step(by) {
    const rows = [...byId("video-list").querySelectorAll("tr[data-video]")];
    const at = rows.findIndex((row) => Number(row.dataset.video) === state.index);
    const next = rows[(at + by + rows.length) % rows.length];
    go(next.dataset.video);
  }

  async function start() {
    byId("order").append(...Object.keys(orders).map((name) => el("option", { value: name }, name)));
    byId("order").addEventListener("change", showList);
    fillGates();
    showList();
    byId("gates").addEventListener("change", () => state.series && draw());
    byId("previous").addEventListener("click", () => step(-1));
    byId("next").addEventListener("click", () => step(1));
    byId("whole").addEventListener("click", () =>
      Plotly.relayout(plot, {
        "xaxis.range": [state.series.times[0], data.videos[state.index].end],
      }),
    );
    slider.addEventListener("input", () => state.series && seek(Number(slider.value)));
    addEventListener("hashchange", () => {
      const index = fromAddress();
      if (index !== null) open(index, { focus: true });
    });
    await open(fromAddress() ?? 0);
    plot.on("plotly_click", (event) => seek(rowAt(event.points[0].x)));
    plot.on("plotly_relayout", placeCursor);
    plot.on("plotly_afterplot", placeCursor);
  }

  return { start, go };
})();
