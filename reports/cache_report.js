// Draws everything but the table of items (`cache_items.js`).

// -- figures for people ---------------------------------------------------------------------------

const percent = (part, whole) => {
  if (!whole) return "–";
  const share = (100 * part) / whole;
  if (part && share < 0.1) return "<0.1 %";
  if (part < whole && share > 99.9) return ">99.9 %";
  return `${share.toFixed(share === 100 || share === 0 ? 0 : 1)} %`;
};
const size = (bytes) => {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(1)} ${["KiB", "MiB", "GiB", "TiB"][power - 1]}`;
};
const duration = (seconds) => {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
};
const total = (parts) => Object.values(parts).reduce((sum, n) => sum + n, 0);

// -- validity -------------------------------------------------------------------------------------

const kindNames = {
  detected: "detected",
  tracked: "tracked",
  other: "usable otherwise (sound, whole frames, crop files, imported)",
  unusable: "missing",
};
const kinds = Object.keys(kindNames);
const kindOf = (code) =>
  code === 1 ? "detected" : code === 2 ? "tracked" : code > 0 && code < 128 ? "other" : "unusable";
const codeName = (code) => data.codes[code] || `code ${code}`;

// Rows by kind, from [[code, rows], ...].
function shares(codes) {
  const found = { detected: 0, tracked: 0, other: 0, unusable: 0 };
  for (const [code, rows] of codes) found[kindOf(Number(code))] += rows;
  return found;
}

// In words: "14.0 % detected, 84.0 % tracked, 2.0 % missing".
function inWords(parts) {
  const word = { ...kindNames, other: "usable" };
  const found = kinds.filter((kind) => parts[kind]);
  return found.map((kind) => `${percent(parts[kind], total(parts))} ${word[kind]}`).join(", ");
}

// A bar of [[class, length], ...].
function bar(parts, name = "div.bar") {
  const whole = parts.reduce((sum, [, n]) => sum + n, 0);
  const part = ([kind, n]) => el(`span.${kind}`, { style: `width:${(100 * n) / whole}%` });
  return el(name, { "aria-hidden": "true" }, parts.filter(([, n]) => n).map(part));
}

function legend(names) {
  const entry = ([kind, name]) => el("li", el(`span.key.${kind}`, { "aria-hidden": "true" }), name);
  return el("ul.legend", Object.entries(names).map(entry));
}

// Bars under a heading, from [[name, number], ...], without the empty ones at the beginning.
function histogram(title, bins) {
  const rows = bins.slice(bins.findIndex(([, n]) => n));
  const most = Math.max(1, ...rows.map(([, n]) => n));
  const parts = rows.map(([name, n]) => [
    el("dt", name),
    el("dd.length", { "aria-hidden": "true", style: `width:${(100 * n) / most}%` }),
    el("dd", count(n)),
  ]);
  return el("div", el("h3", title), el("dl.histogram", parts));
}

// -- summary --------------------------------------------------------------------------------------

function showSummary() {
  const { totals } = data;
  const { missing, stale, damaged, complete } = totals.states;
  const cells = total(totals.states);
  const figures = {
    videos: count(totals.videos),
    "items (a subject of a video)": count(totals.items),
    frames: count(totals.frames),
    duration: duration(totals.seconds),
    "on disk": size(totals.nbytes),
    "cells complete": percent(complete, cells),
  };
  const lacking = Object.entries({ missing, stale, damaged }).filter(([, n]) => n);
  const next = [
    (missing || stale) && "vapipe extract makes what is missing or stale",
    damaged && "vapipe cache verify --repair sets what is damaged aside",
  ].filter(Boolean);
  const states = lacking.map(([state, n]) => `${count(n)} ${state}`).join(", ");
  const verdict = !totals.items
    ? "The cache holds no video yet; vapipe extract --videos DIR fills it."
    : lacking.length
      ? `Of ${count(cells)} cells (items x streams) ${states}; ${next.join(", ")}.`
      : `Every one of ${count(cells)} cells (items x streams) is complete.`;
  const older =
    totals.older &&
    `${some(totals.older, "stream")} under an earlier key: not shown, vapipe cache status lists them. `;
  const aside = totals.quarantine && `${some(totals.quarantine, "shard")} in quarantine.`;
  const entry = ([name, value]) => el("div", el("dt", name), el("dd", value));
  const held = el("span");
  addEventListener("load", () => {
    const parts = [...document.scripts, ...document.querySelectorAll("style")];
    held.textContent = size(parts.reduce((sum, part) => sum + part.textContent.length, 0));
  });
  at("summary").append(
    el("dl.figures", Object.entries(figures).map(entry)),
    el("p", verdict),
    older || aside ? el("p", older || "", aside || "") : "",
    el(
      "p.soft",
      `Made ${data.made} by vapipe ${data.version} from headers, validity codes, times and labels; `,
      "features were not read (vapipe cache verify checks every byte). This page holds ",
      held,
      `: ${count(data.listed)} of ${some(totals.items, "item")} listed, `,
      `${some(data.sheets.length, "contact sheet")}.`,
    ),
  );
}

function showProblems() {
  const { damaged, failures, unusable, unreadable, unknown } = data.problems;
  const lists = [
    [damaged, "Damaged shards", ["shard", "what is wrong"]],
    [failures, "Videos that could not be extracted", ["video", "why"]],
    [unusable, "Items without one usable row in a stream", ["item", "rows of which streams"]],
    [unreadable, "Times or labels that cannot be used", ["item", "why"]],
    [unknown, "Video files that the cache does not know", ["file"]],
  ].filter(([list]) => list.count);
  if (!lists.length) at("problems").append(el("p", "None found."));
  for (const [list, name, head] of lists) {
    const cut = list.count > list.lines.length ? `; the first ${count(list.lines.length)} are shown` : "";
    const rows = list.lines.map(([where, what]) => [breakable(where), what].slice(0, head.length));
    const found = table(`${count(list.count)} in all${cut}`, head, rows);
    const open = list.count <= 20;
    at("problems").append(el("details", { open }, el("summary", `${name}: ${count(list.count)}`), found));
  }
}

// -- streams --------------------------------------------------------------------------------------

function showStreams() {
  if (!data.streams.length) return at("streams").append(el("p", "There are none yet."));
  const names = Object.fromEntries(data.states.map((state) => [state, state]));
  const coverage = data.streams.map((each) => [
    each.name,
    bar(Object.entries(each.states)),
    ...data.states.map((state) => count(each.states[state])),
    each.dim ? `${each.dim} x ${each.dtype}, ${each.modality}` : "–",
    `${size(each.nbytes)} in ${some(each.shards, "shard")}`,
    each.key,
  ]);
  const detection = data.streams.map((each) => {
    const codes = Object.entries(each.codes);
    const parts = shares(codes);
    const lost = codes.filter(([code]) => kindOf(Number(code)) === "unusable");
    return [
      each.name,
      bar(Object.entries(parts)),
      ...kinds.map((kind) => percent(parts[kind], total(parts))),
      lost.map(([code, n]) => `${codeName(code)}: ${count(n)}`).join(", ") || "–",
    ];
  });
  const found = data.streams.filter((each) => each.found.some(Boolean));
  at("streams").append(
    legend({ ...names, stale: "stale (of an earlier file)" }),
    table(
      "Coverage: items in each stream",
      ["stream", "share", ...data.states, "rows", "on disk", "key"],
      coverage,
    ),
    el("h3", "Detection"),
    legend(kindNames),
    table(
      "Rows of complete items by validity",
      ["stream", "share", "detected", "tracked", "usable otherwise", "missing", "reasons"],
      detection,
    ),
    el("div.pair", found.map((each) =>
      histogram(
        `${each.name}: items by share of usable rows`,
        each.found.map((n, i) => [`${i * 10} to ${i * 10 + 10} %`, n]),
      ),
    )),
  );
}

// -- durations, times, labels ---------------------------------------------------------------------

function showLengths() {
  const { bounds, counts, least, median, most } = data.durations;
  if (!counts.length) return at("lengths").append(el("p", "There is no video yet."));
  const between = (n, i) => [`${duration(bounds[i])} to ${duration(bounds[i + 1])}`, n];
  const rates = data.rates.map(([rate, n]) => [rate === null ? "others" : `${rate} frames/s`, n]);
  at("lengths").append(
    el("p", `From ${duration(least)} to ${duration(most)}; the median is ${duration(median)}.`),
    el(
      "div.pair",
      histogram("Videos by duration", counts.map(between)),
      histogram("Videos by frame rate", rates),
    ),
  );
}

function showTimes() {
  const rows = Object.entries(data.odd).map(([kind, n]) => [kind, count(n)]);
  const caption = "Videos whose times are unusual; rows keep to them all the same";
  const none = "None: constant rates, no gaps, first frames within 0.1 s of zero.";
  at("times").append(rows.length ? table(caption, ["what", "videos"], rows) : el("p", none));
}

function showLabels() {
  if (!data.partitions.length) return at("labels").append(el("p", "There is no item yet."));
  const rows = data.partitions.map((each) => [
    each.name, count(each.items), count(each.with), count(each.labelled),
    percent(each.labelled, each.rows), count(each.problems),
  ]);
  const head = [
    "partition", "items", "with labels", "frames annotated", "of their frames", "labels not usable",
  ];
  at("labels").append(table("Items and annotated frames by partition", head, rows));
}

// -- contact sheets -------------------------------------------------------------------------------

const letters = { d: "detected", t: "tracked", u: "other", m: "unusable" };

// Codes over time: a run of equal letters is one part.
const ribbon = (text) =>
  bar([...text.matchAll(/(.)\1*/g)].map(([run, letter]) => [letters[letter], run.length]), "div.bar.ribbon");

function sheet(each, number, common) {
  const several = new Set(each.faces.map(([, , , track]) => track || 1)).size > 1;
  const faces = each.faces.map(([row, time, code, track, src]) => {
    const usable = kindOf(code) !== "unusable";
    const alt = `${usable ? "Face of" : "Frame of"} ${each.item}, row ${row}`;
    const face = src
      ? el(usable ? "img" : "img.lost", { src, alt, width: 96, height: 96 })
      : el("span.none", { "aria-hidden": "true" }, "no picture");
    const who = several && track > 0 && `, track ${track}`;
    return el("li", face, `${time.toFixed(1)} s, ${codeName(code)}`, who);
  });
  const lanes = Object.entries(each.codes).map(([stream, text]) => [
    el("p.lane", `${stream}: ${inWords(shares(Object.entries(each.counts[stream])))}`),
    new Set(text).size > 1 && ribbon(text),
  ]);
  const alt = `Log-mel energy of ${each.item} over ${duration(each.seconds)}`;
  return el(
    "article.sheet",
    { id: `sheet-${number}` },
    el("h3", breakable(each.item)),
    el("p.lane", `${count(each.rows)} frames, ${duration(each.seconds)}`),
    faces.length > 0 && el("ul.faces", faces),
    each.note && !common && el("p.notice", each.note),
    lanes,
    each.sound && [
      el("p.lane", "Log-mel energy over the same time, low bands below"),
      el("img.strip", { src: each.sound, alt }),
    ],
  );
}

function showSheets() {
  const { of, each } = data.faces;
  const none = "None: no item is complete in a stream, or none was asked for (--sheets).";
  if (!data.sheets.length) return at("sheets").append(el("p", none));
  // What holds for all sheets alike is said once.
  const notes = new Set(data.sheets.map(({ note }) => note));
  const common = notes.size === 1 && data.sheets.length > 1 ? data.sheets[0].note : "";
  const about = of
    ? `Up to ${each} frames spread over the video, at key frames where there are: the face that stream ${of} ` +
      "followed, or faintly the whole picture where it found none. Another track is another " +
      "person, or the same one not recognised. Stripes show validity over the whole time."
    : "Stripes show validity over the whole time.";
  at("sheets").append(
    el("p", `${some(data.sheets.length, "item")}, the fewest usable rows first. ${about}`),
    common ? el("p.notice", `No faces: ${common}.`) : "",
    legend(kindNames),
    el("div.sheets", data.sheets.map((own, number) => sheet(own, number, common))),
  );
}

showSummary();
showProblems();
showStreams();
showLengths();
showTimes();
showLabels();
showSheets();
for (const section of document.querySelectorAll("main > section")) {
  at("toc").append(el("a", { href: `#${section.id}` }, section.querySelector("h2").textContent));
}
