"use strict";
// Draws everything but the table of items (`cache_table.js`).
const Cache = (() => {
  const { data, el, table } = Page;
  const at = (id) => document.getElementById(id);

  // -- figures for people -------------------------------------------------------------------------

  const count = (n) => n.toLocaleString("en");
  const percent = (part, whole) => {
    if (!whole) return "–";
    const share = (100 * part) / whole;
    if (part && share < 0.1) return "<0.1 %";
    if (part < whole && share > 99.9) return ">99.9 %";
    return `${share.toFixed(share === 100 || share === 0 ? 0 : 1)} %`;
  };
  const size = (bytes) => {
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
      if (bytes < 1024) return `${unit === "B" ? bytes : bytes.toFixed(1)} ${unit}`;
      bytes /= 1024;
    }
    return `${bytes.toFixed(1)} TiB`;
  };
  const duration = (seconds) => {
    if (seconds < 60) return `${seconds.toFixed(1)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
    return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  };
  const some = (n, one, many) => `${count(n)} ${n === 1 ? one : many || one + "s"}`;

  // -- validity -----------------------------------------------------------------------------------

  const kinds = ["detected", "tracked", "other", "unusable"];
  const kindNames = {
    detected: "detected",
    tracked: "tracked",
    other: "usable otherwise (sound, whole frames, crop files, imported)",
    unusable: "missing",
  };
  const kindOf = (code) =>
    code === 1 ? "detected" : code === 2 ? "tracked" : code > 0 && code < 128 ? "other" : "unusable";

  // Rows by kind, from [[code, rows], ...].
  function shares(codes) {
    const found = { detected: 0, tracked: 0, other: 0, unusable: 0 };
    for (const [code, rows] of codes) found[kindOf(Number(code))] += rows;
    return found;
  }

  function bar(parts, whole) {
    return el(
      "div",
      { class: "bar", "aria-hidden": "true" },
      Object.entries(parts)
        .filter(([, n]) => n)
        .map(([kind, n]) => el("span", { class: kind, style: `width:${(100 * n) / whole}%` })),
    );
  }

  function legend(names) {
    return el(
      "ul",
      { class: "legend" },
      Object.entries(names).map(([kind, name]) =>
        el("li", {}, el("span", { class: `key ${kind}`, "aria-hidden": "true" }), name),
      ),
    );
  }

  // In words: "14.0 % detected, 84.0 % tracked, 2.0 % missing".
  function inWords(parts) {
    const whole = Object.values(parts).reduce((sum, n) => sum + n, 0);
    const word = { ...kindNames, other: "usable" };
    return kinds.filter((k) => parts[k]).map((k) => `${percent(parts[k], whole)} ${word[k]}`).join(", ");
  }

  // Bars from [[name, number], ...], without the empty ones at the beginning.
  function histogram(bins) {
    const rows = bins.slice(bins.findIndex(([, n]) => n));
    const most = Math.max(1, ...rows.map(([, n]) => n));
    return el(
      "dl",
      { class: "histogram" },
      rows.map(([name, n]) => [
        el("dt", {}, name),
        el("dd", { class: "length", "aria-hidden": "true", style: `width:${(100 * n) / most}%` }),
        el("dd", {}, count(n)),
      ]).flat(),
    );
  }

  // -- summary ------------------------------------------------------------------------------------

  function summary() {
    const { totals } = data;
    const cells = Object.values(totals.states).reduce((sum, n) => sum + n, 0);
    const figures = [
      ["videos", count(totals.videos)],
      ["items (a subject of a video)", count(totals.items)],
      ["frames", count(totals.frames)],
      ["duration", duration(totals.seconds)],
      ["on disk", size(totals.nbytes)],
      ["cells complete", percent(totals.states.complete, cells)],
    ];
    const lacking = ["missing", "stale", "damaged"].filter((state) => totals.states[state]);
    const next = [
      totals.states.missing || totals.states.stale ? "vapipe extract makes what is missing or stale" : "",
      totals.states.damaged ? "vapipe cache verify --repair sets what is damaged aside" : "",
    ].filter(Boolean);
    const verdict = !totals.items
      ? "The cache holds no video yet; vapipe extract --videos DIR fills it."
      : lacking.length
        ? `Of ${count(cells)} cells (items x streams) ` +
          `${lacking.map((state) => `${count(totals.states[state])} ${state}`).join(", ")}; ${next.join(", ")}.`
        : `Every one of ${count(cells)} cells (items x streams) is complete.`;
    const notes = [
      totals.older
        ? `${some(totals.older, "stream")} under an earlier key: not shown, vapipe cache status lists them.`
        : null,
      totals.quarantine ? `${some(totals.quarantine, "shard")} in quarantine.` : null,
    ].filter(Boolean);
    const held = el("span", {});
    addEventListener("load", () => {
      const parts = [...document.scripts, ...document.querySelectorAll("style")];
      held.textContent = size(parts.reduce((sum, part) => sum + part.textContent.length, 0));
    });
    at("summary").append(
      el("dl", { class: "figures" }, figures.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
      el("p", {}, verdict),
      notes.length ? el("p", {}, notes.join(" ")) : "",
      el(
        "p",
        { class: "soft" },
        `Made ${data.made} by vapipe ${data.version} from headers, validity codes, times and labels; ` +
          "features were not read (vapipe cache verify checks every byte). This page holds ",
        held,
        `: ${count(data.listed)} of ${some(totals.items, "item")} listed, ` +
          `${some(data.sheets.length, "contact sheet")}.`,
      ),
    );
  }

  function problems() {
    const { damaged, failures, unknown } = data.problems;
    const lists = [
      [damaged, "Damaged shards", ["shard", "what is wrong"]],
      [failures, "Videos that could not be extracted", ["video", "why"]],
      [unknown, "Video files that the cache does not know", ["file"]],
    ].filter(([list]) => list.count);
    if (!lists.length) at("problems").append(el("p", {}, "None found."));
    for (const [list, name, head] of lists) {
      const cut = list.count > list.lines.length ? `; the first ${count(list.lines.length)} are shown` : "";
      at("problems").append(
        el(
          "details",
          { open: list.count <= 10 },
          el("summary", {}, `${name}: ${count(list.count)}`),
          table(`${count(list.count)} in all${cut}`, head, list.lines.map((line) => line.slice(0, head.length))),
        ),
      );
    }
  }

  // -- streams ------------------------------------------------------------------------------------

  function streams() {
    const states = { complete: "complete", missing: "missing", stale: "stale (of an earlier file)", damaged: "damaged" };
    const whole = (each) => Object.values(each.states).reduce((sum, n) => sum + n, 0);
    if (!data.streams.length) {
      at("streams").append(el("p", {}, "There are none yet."));
      return;
    }
    at("streams").append(
      legend(states),
      table(
        "Coverage: items in each stream",
        ["stream", "share", ...data.states, "rows", "on disk", "key"],
        data.streams.map((each) => [
          each.name,
          bar(each.states, whole(each)),
          ...data.states.map((state) => count(each.states[state])),
          each.dim ? `${each.dim} x ${each.dtype}, ${each.modality}` : "–",
          `${size(each.nbytes)} in ${some(each.shards, "shard")}`,
          each.key,
        ]),
      ),
      el("h3", {}, "Detection"),
      legend(kindNames),
      table(
        "Rows of complete items by validity",
        ["stream", "share", "detected", "tracked", "usable otherwise", "missing", "reasons"],
        data.streams.map((each) => {
          const codes = Object.entries(each.codes);
          const parts = shares(codes);
          const rows = Object.values(parts).reduce((sum, n) => sum + n, 0);
          const lost = codes.filter(([code]) => kindOf(Number(code)) === "unusable");
          return [
            each.name,
            bar(parts, rows),
            ...kinds.map((kind) => percent(parts[kind], rows)),
            lost.map(([code, n]) => `${data.codes[code] || "code " + code}: ${count(n)}`).join(", ") || "–",
          ];
        }),
      ),
      el(
        "div",
        { class: "pair" },
        data.streams.filter((each) => each.found.some(Boolean)).map((each) =>
          el(
            "div",
            {},
            el("h3", {}, `${each.name}: items by share of usable rows`),
            histogram(each.found.map((n, i) => [`${i * 10} to ${i * 10 + 10} %`, n])),
          ),
        ),
      ),
    );
  }

  // -- durations, times, labels -------------------------------------------------------------------

  function lengths() {
    const { bounds, counts, least, median, most } = data.durations;
    if (!counts.length) {
      at("lengths").append(el("p", {}, "There is no video yet."));
      return;
    }
    const between = (i) => `${duration(bounds[i])} to ${duration(bounds[i + 1])}`;
    at("lengths").append(
      el("p", {}, `From ${duration(least)} to ${duration(most)}; the median is ${duration(median)}.`),
      el(
        "div",
        { class: "pair" },
        el("div", {}, el("h3", {}, "Videos by duration"), histogram(counts.map((n, i) => [between(i), n]))),
        el(
          "div",
          {},
          el("h3", {}, "Videos by frame rate"),
          histogram(data.rates.map(([rate, n]) => [rate === null ? "others" : `${rate} frames/s`, n])),
        ),
      ),
    );
  }

  function times() {
    const found = Object.entries(data.odd);
    at("times").append(
      found.length
        ? table("Videos whose times are unusual; rows keep to them all the same", ["what", "videos"],
            found.map(([kind, n]) => [kind, count(n)]))
        : el("p", {}, "None: constant rates, no gaps, first frames within 0.1 s of zero."),
    );
  }

  function labels() {
    if (!data.partitions.length) at("labels").append(el("p", {}, "There is no item yet."));
    else
      at("labels").append(
        table(
          "Items and annotated frames by partition",
          ["partition", "items", "with labels", "frames annotated", "of their frames", "labels not usable"],
          data.partitions.map((each) => [
            each.name, count(each.items), count(each.with), count(each.labelled),
            percent(each.labelled, each.rows), count(each.problems),
          ]),
        ),
      );
  }

  // -- contact sheets -----------------------------------------------------------------------------

  const letters = { d: "detected", t: "tracked", u: "other", m: "unusable" };

  // Codes over time: a run of equal letters is one part.
  function ribbon(text) {
    const runs = [...text.matchAll(/(.)\1*/g)].map(([run, letter]) => [letters[letter], run.length]);
    return el(
      "div",
      { class: "ribbon bar", "aria-hidden": "true" },
      runs.map(([kind, n]) => el("span", { class: kind, style: `width:${(100 * n) / text.length}%` })),
    );
  }

  // What holds for all sheets alike is said once.
  const common = () => {
    const notes = new Set(data.sheets.map(({ note }) => note));
    return notes.size === 1 && data.sheets.length > 1 ? data.sheets[0].note : "";
  };

  function sheet(each, number) {
    const faces = each.faces.map(([row, time, code, source]) => {
      const name = data.codes[code] || `code ${code}`;
      return el(
        "li",
        {},
        source
          ? el("img", { src: source, alt: `Face of ${each.item} in frame ${row}`, width: 96, height: 96 })
          : el("span", { class: "none", "aria-hidden": "true" }, "none"),
        `${time.toFixed(1)} s, ${name}`,
      );
    });
    const lanes = Object.entries(each.codes).map(([stream, text]) => [
      el("p", { class: "lane" }, `${stream}: ${inWords(shares(Object.entries(each.counts[stream])))}`),
      new Set(text).size > 1 ? ribbon(text) : null,
    ]);
    return el(
      "article",
      { class: "sheet", id: `sheet-${number}` },
      el("h3", {}, each.item),
      el("p", { class: "lane" }, `${count(each.rows)} frames, ${duration(each.seconds)}`),
      faces.length ? el("ul", { class: "faces" }, faces) : "",
      each.note && !common() ? el("p", { class: "notice" }, each.note) : "",
      lanes.flat(),
      each.sound
        ? [
            el("p", { class: "lane" }, "Log-mel energy over the same time, low bands below"),
            el("img", { class: "strip", src: each.sound, alt: `Log-mel energy of ${each.item} over ${duration(each.seconds)}` }),
          ]
        : [],
    );
  }

  function sheets() {
    const { of, each, reach } = data.faces;
    if (!data.sheets.length) {
      at("sheets").append(el("p", {}, "None: no item is complete in a stream, or none was asked for (--sheets)."));
      return;
    }
    at("sheets").append(
      el(
        "p",
        {},
        `${some(data.sheets.length, "item")}, the fewest usable rows first. ` +
          (of
            ? `Faces are cropped as stream ${of} crops them, ${each} at most, spread over the first ${count(reach)} frames; ` +
              "stripes below show validity over the whole time."
            : "Stripes show validity over the whole time."),
      ),
      common() ? el("p", { class: "notice" }, `No faces: ${common()}.`) : "",
      legend(kindNames),
      el("div", { class: "sheets" }, data.sheets.map(sheet)),
    );
  }

  for (const part of [summary, problems, streams, lengths, times, labels, sheets]) part();
  for (const section of document.querySelectorAll("main > section")) {
    at("toc").append(el("a", { href: `#${section.id}` }, section.querySelector("h2").textContent));
  }
  return { at, count, percent, size, duration, some, shares, bar, kinds, kindNames, kindOf, inWords };
})();
