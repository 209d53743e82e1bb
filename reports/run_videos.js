// The video that is open: player, cursor, values, trajectories.
const stage = at("plot-video");
const slider = at("frame");
const cursor = at("cursor");

// -- the cursor -----------------------------------------------------------------------------------

// The frame that is shown at a time: the last one that began before.
const rowAt = (seconds) => Math.max(0, state.series.times.findLastIndex((time) => time <= seconds + 1e-6));

function placeCursor() {
  if (!state.series || !stage._fullLayout) return;
  const { xaxis, _size: size } = stage._fullLayout;
  const seconds = state.series.times[state.row];
  const share = (seconds - xaxis.range[0]) / (xaxis.range[1] - xaxis.range[0]);
  cursor.hidden = share < 0 || share > 1;
  Object.assign(cursor.style, {
    left: `${size.l + share * size.w - 1}px`, top: `${size.t}px`, height: `${size.h}px`,
  });
  cursor.dataset.seconds = seconds;
}

function show(row) {
  state.row = row;
  slider.value = row;
  const { times, labels, runs } = state.series;
  const lines = data.targets.map((target, t) => [
    target, figure3(labels[t][row]), ...runs.map((run) => figure3(run[t][row])),
  ]);
  const covers = ({ spans }) => spans.some((from, i) => i % 2 === 0 && from <= row && row < spans[i + 1]);
  const missing = data.videos[state.index].lanes.filter(covers).map((lane) => lane.label).join(", ");
  const words = `${times[row].toFixed(2)} s, frame ${row}${missing && `: ${missing}`}`;
  const sources = ["annotation", ...data.runs.map((run) => run.name)];
  const rows = sources.map((name, s) => [name, ...lines.map((values) => values[s + 1])]);
  at("readout").replaceChildren(bareTable(words, ["", ...data.targets], rows));
  const told = lines.map(
    ([name, label, ...rest]) => `${name}: annotated ${label}, predicted ${rest.join(", ")}`,
  );
  slider.setAttribute("aria-valuetext", `${words}. ${told.join("; ")}`);
  placeCursor();
}

// Arrow keys go by one frame, with Shift by a second; the browser's own larger steps do not apply.
function onArrow(event) {
  const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!way || !state.series || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  event.stopPropagation();
  const { times } = state.series;
  const row = event.shiftKey ? rowAt(times[state.row] + way) : state.row + way;
  seek(Math.min(Math.max(row, 0), times.length - 1));
}

// Move the cursor and the clip; a little after the frame began, so that this frame is shown.
function seek(row) {
  show(row);
  if (state.player) state.player.currentTime = state.series.times[row] + 1e-3;
}

// -- the clip -------------------------------------------------------------------------------------

function showPlayer(video) {
  at("player").replaceChildren();
  state.player = null;
  if (!data.media) return;
  if (!video.media) {
    at("player").append(el("p.soft", `No file for ${video.file} in the folder of --media.`));
    return;
  }
  const follow = () => {
    if (state.player !== player || !state.series) return;
    const row = rowAt(player.currentTime);
    if (row !== state.row) show(row);
  };
  const keepUp = () => {
    follow();
    if (!player.paused && state.player === player) requestAnimationFrame(keepUp);
  };
  const player = el("video", {
    src: video.media, controls: true, preload: "metadata", playsinline: true,
    "aria-label": `clip ${video.file}`,
    onplay: keepUp, ontimeupdate: follow, onseeking: follow, onseeked: follow,
    // Chromium plays the sound of a clip whose pictures it cannot decode.
    onloadedmetadata: () => player.videoWidth ||
      player.after(el("p.soft", `This browser cannot show the pictures of ${video.file} (H.264 it can).`)),
    onerror: () => player.replaceWith(el("p.notice", `This browser cannot play ${video.file}.`)),
  });
  state.player = player;
  at("player").append(player);
}

// -- one video ------------------------------------------------------------------------------------

function fillGates() {
  const select = at("gates");
  const options = data.runs.flatMap(({ name, gates }, r) =>
    [...new Set((gates || []).map((gate) => gate.network))].map((network) =>
      choice(`${r}:${network}`, `${prefix(name)}${network} network`),
    ),
  );
  select.replaceChildren(choice("", "none"), ...options);
  select.value = (options[0] ?? select.options[0]).value;
  select.disabled = !options.length;
  for (const { name, head, gates, gatesCommand } of data.runs) {
    if (gates?.length) continue;
    const note = gates
      ? el("p.soft", `Head ${head} of ${name} has no gates of single frames.`)
      : el("p.notice", `${name} has no gates stored. This stores them: `, el("code", gatesCommand));
    at("gates-note").append(note);
  }
}

// The seconds that are seen: all of a video that has just been opened.
function inView(index, series) {
  const zoomed = stage._fullLayout?.uirevision === `video ${index}`;
  return zoomed ? stage._fullLayout.xaxis.range : [series.times[0], data.videos[index].end];
}

async function drawVideo() {
  const { index, series } = state;
  const [run, network] = at("gates").value.split(/:(.*)/s);
  const shown = run && { run: Number(run), network };
  await plot(stage, () => trajectories(index, series, shown, inView(index, series)));
  placeCursor();
}

async function open(index, focus) {
  const video = data.videos[index];
  state.index = index;
  markCurrent();
  at("video-name").textContent = video.id;
  const scores = data.runs.map(({ name }, r) => {
    const { intervals, errors } = video.within[r];
    const each = data.targets.map((target) => {
      const bounds = intervals[target] && ` [${inBrackets(intervals[target])}]`;
      return `${target} ${figure3(video.ccc[r][target])}${bounds ?? ""}, error ${figure3(errors[target])}`;
    });
    return `${several ? `${name}: ` : ""}CCC of ${each.join("; ")}`;
  });
  at("video-facts").textContent =
    `${count(video.rows)} frames, ${length(index).toFixed(1)} s at ${video.fps.toFixed(2)} fps, ` +
    `${count(video.annotated)} annotated. ${scores.join(". ")}.`;
  state.series = null;
  showPlayer(video);
  slider.max = video.rows - 1;
  if (focus) at("video-name").focus();
  const series = await loadSeries(index);
  if (state.index !== index) return; // another one was opened meanwhile
  state.series = series;
  show(0);
  await drawVideo();
  at("detail").dataset.open = index;
}

function go(index) {
  location.hash = `#video-${index}`;
}

function fromAddress() {
  const index = Number(/^#video-(\d+)$/.exec(location.hash)?.[1]);
  return index < data.videos.length ? index : null;
}

// To the next one of the list, or the one before; from one that is not listed to either end.
function step(by) {
  const rows = listed();
  const place = rows.findIndex((row) => Number(row.dataset.video) === state.index);
  if (rows.length) go(rows.at(place < 0 && by > 0 ? 0 : (Math.max(place, 0) + by) % rows.length).dataset.video);
}

async function showVideos() {
  fillGates();
  showList();
  at("gates").addEventListener("change", () => state.series && drawVideo());
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  at("whole").addEventListener("click", () =>
    Plotly.relayout(stage, { "xaxis.range": [state.series.times[0], data.videos[state.index].end] }),
  );
  for (const own of [slider, at("player")]) own.addEventListener("keydown", onArrow, { capture: true });
  slider.addEventListener("input", () => state.series && seek(Number(slider.value)));
  addEventListener("hashchange", () => {
    const index = fromAddress();
    if (index !== null) open(index, true);
  });
  await open(fromAddress() ?? 0);
  stage.on("plotly_click", (event) => {
    seek(rowAt(event.points[0].x));
    slider.focus({ preventScroll: true }); // for the arrow keys
  });
  stage.on("plotly_relayout", (change) => {
    placeCursor();
    const zoomed = Object.keys(change).some((key) => key.startsWith("xaxis"));
    if (zoomed && state.series && at("gates").value) drawVideo(); // gates are grouped by what is in view
  });
  stage.on("plotly_afterplot", placeCursor);
}

// Everything in the order in which it is read; plots follow one by one, so that the page answers.
showProvenance();
await showScores();
await showVideos();
await showDifferences();
await showAgreement();
await showPlane();
await showLearning();
await showRobustness();
document.body.dataset.ready = "yes";
