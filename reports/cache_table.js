"use strict";
// The table of items: sorted, filtered, in pages, with details on demand. `Cache.table` is a promise
// that is kept when it stands.
Cache.table = (async () => {
  const { data, el, array } = Page;
  const { at, count, percent, size, duration, some, shares, bar, kinds, kindNames, kindOf, inWords } = Cache;
  const PAGE = 50;
  const { ids, texts, codes } = data.items;
  const streams = data.streams;
  const N = ids.length;
  const section = at("items");
  if (!N) {
    section.append(el("p", {}, "There is no item yet."));
    return;
  }
  const [states, reasons, counts, nbytes, frames, fps, labelled, media, partition, trouble] =
    await Promise.all([
      array("states", "uint8"), array("reasons", "int32"), array("counts", "int32"),
      array("nbytes", "float64"), array("frames", "int32"), array("fps", "float64"),
      array("labelled", "int32"), array("media", "int32"), array("partition", "int32"),
      array("trouble", "int32"),
    ]);
  const videoOf = (i) => data.items.videos[i] ?? ids[i];
  const oddOf = (i) => data.items.odd[i] ?? [];
  const state = (u, i) => data.states[states[u * N + i]];
  const codesOf = (u, i) =>
    codes.map((code, k) => [code, counts[(u * codes.length + k) * N + i]]).filter(([, n]) => n);

  // The share of usable rows; below 0 where an item is not complete, so that it sorts first.
  function rate(u, i) {
    const where = states[u * N + i];
    if (where) return -where;
    let good = 0;
    for (const [code, n] of codesOf(u, i)) if (kindOf(code) !== "unusable") good += n;
    return good / frames[i];
  }

  const rank = Object.fromEntries(data.partitions.map(({ name }, n) => [name, n]));
  const letters = new Intl.Collator("en", { numeric: true });
  const columns = [
    { name: "item", order: (i, j) => letters.compare(ids[i], ids[j]) },
    { name: "partition", key: (i) => rank[texts[partition[i]]], cell: (i) => texts[partition[i]] },
    { name: "duration", key: (i) => frames[i] / fps[i], cell: (i) => duration(frames[i] / fps[i]) },
    { name: "frames/s", key: (i) => fps[i], cell: (i) => fps[i].toFixed(2) },
    {
      name: "labelled",
      key: (i) => labelled[i] / frames[i],
      cell: (i) => (labelled[i] < 0 ? "none" : percent(labelled[i], frames[i])),
    },
    ...streams.map((stream, u) => ({ name: stream.name, key: (i) => rate(u, i), cell: (i) => cell(u, i) })),
    { name: "odd times", wraps: true, key: (i) => oddOf(i).length, cell: (i) => oddOf(i).map(([kind]) => kind).join(", ") || "–" },
    { name: "size", key: (i) => nbytes[i], cell: (i) => size(nbytes[i]) },
  ];

  const signs = { missing: "○", stale: "◐", damaged: "✕" };

  function cell(u, i) {
    const where = state(u, i);
    if (where !== "complete") return el("span", { class: "state" }, `${signs[where]} ${where}`);
    const parts = shares(codesOf(u, i));
    return [percent(frames[i] - parts.unusable, frames[i]), bar(parts, frames[i])];
  }

  // -- filters ------------------------------------------------------------------------------------

  const lacks = (word) => (i) => streams.some((_, u) => state(u, i) === word);
  const filters = {
    all: ["all items", () => true],
    lacking: ["not complete", (i) => streams.some((_, u) => states[u * N + i])],
    missing: ["missing in a stream", lacks("missing")],
    stale: ["stale in a stream", lacks("stale")],
    damaged: ["damaged in a stream", lacks("damaged")],
    half: ["half the rows or more not usable", (i) => streams.some((_, u) => !states[u * N + i] && rate(u, i) <= 0.5)],
    unlabelled: ["without labels", (i) => labelled[i] < 1],
    trouble: ["times or labels not readable", (i) => trouble[i] > 0],
    ...Object.fromEntries(
      Object.keys(data.odd).map((kind) => [`odd ${kind}`, [kind, (i) => oddOf(i).some(([name]) => name === kind)]]),
    ),
  };
  const search = el("input", { type: "search", autocomplete: "off", spellcheck: "false" });
  const show = el("select", {}, Object.entries(filters).map(([key, [name]]) => el("option", { value: key }, name)));
  const parts = el(
    "select",
    {},
    el("option", { value: "" }, "any"),
    data.partitions.map(({ name }) => el("option", { value: name }, name)),
  );
  let sorted = { column: 0, down: false };
  let order = [];
  let page = 0;

  function choose() {
    const wanted = search.value.toLowerCase();
    const [, fits] = filters[show.value];
    order = [];
    for (let i = 0; i < N; i++) {
      if (parts.value && texts[partition[i]] !== parts.value) continue;
      if (wanted && !ids[i].toLowerCase().includes(wanted) && !videoOf(i).toLowerCase().includes(wanted)) continue;
      if (fits(i)) order.push(i);
    }
    const { key, order: compare } = columns[sorted.column];
    const keys = new Float64Array(N);
    if (key) for (const i of order) keys[i] = key(i);
    const sign = sorted.down ? -1 : 1;
    order.sort((i, j) => sign * (compare ? compare(i, j) : keys[i] - keys[j]) || i - j);
    page = 0;
    draw();
  }

  // -- the table ----------------------------------------------------------------------------------

  const heads = columns.map(({ name }, column) =>
    el(
      "th",
      { scope: "col" },
      el("button", { type: "button", on: { click: () => sortBy(column) } }, name),
    ),
  );

  function sortBy(column) {
    // The first press shows names from a to z, and of figures what is worst or least.
    sorted = { column, down: sorted.column === column && !sorted.down };
    choose();
  }

  const body = el("tbody", {});
  const told = el("p", { role: "status" });
  const turn = (name, by) =>
    el("button", { type: "button", on: { click: () => { page += by; draw(); } } }, name);
  const [back, on] = [turn("Previous", -1), turn("Next", 1)];

  function draw() {
    const first = page * PAGE;
    const shown = order.slice(first, first + PAGE);
    body.replaceChildren(...shown.map(row));
    heads.forEach((head, column) => {
      if (column !== sorted.column) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    });
    back.disabled = page === 0;
    on.disabled = first + PAGE >= order.length;
    const range = shown.length ? `; ${count(first + 1)} to ${count(first + shown.length)} shown` : "";
    told.textContent = `${count(order.length)} of ${some(N, "item")}${range}`;
  }

  function row(i) {
    const button = el("button", { type: "button", "aria-expanded": "false" }, ids[i]);
    const line = el(
      "tr",
      {},
      el("th", { scope: "row" }, button),
      columns.slice(1).map((column) => el("td", { class: column.wraps ? "wraps" : null }, column.cell(i))),
    );
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!open));
      if (open) line.nextElementSibling.remove();
      else line.after(el("tr", {}, el("td", { class: "more", colspan: columns.length }, details(i))));
    });
    return line;
  }

  function details(i) {
    const sheet = data.sheets.findIndex(({ item }) => item === ids[i]);
    const facts = [
      `Video ${videoOf(i)}, file ${data.items.files[i] ?? "of the same name"}: ${texts[media[i]] || "codec unknown"}.`,
      `${count(frames[i])} frames, ${duration(frames[i] / fps[i])}, ${fps[i].toFixed(4)} frames/s; ` +
        (labelled[i] < 0 ? "no labels." : `${count(labelled[i])} frames annotated.`),
      trouble[i] ? `Not readable: ${texts[trouble[i]]}` : null,
      ...oddOf(i).map(([kind, text]) => `${kind}: ${text}`),
    ].filter(Boolean);
    return el(
      "div",
      {},
      facts.map((text) => el("p", {}, text)),
      el(
        "ul",
        {},
        streams.map((stream, u) => {
          const reason = texts[reasons[u * N + i]];
          const found = codesOf(u, i);
          const text =
            state(u, i) === "complete"
              ? `${inWords(shares(found))} (${found.map(([code, n]) => `${count(n)} ${data.codes[code] || "code " + code}`).join(", ")})`
              : state(u, i) + (reason ? `: ${reason}` : "");
          return el("li", {}, `${stream.name}: ${text}`);
        }),
      ),
      sheet >= 0 ? el("p", {}, el("a", { href: `#sheet-${sheet}` }, "Faces and sound")) : "",
    );
  }

  const field = (name, input) => el("label", {}, name, input);
  section.append(
    el("p", {}, "Under a stream stands the share of usable rows. Press a heading to sort, an item for its details." +
      (N < data.totals.items ? ` Only ${count(N)} of ${count(data.totals.items)} items are listed: those with most that is not complete.` : "")),
    el("div", { class: "filters" }, field("Name contains", search), field("Show", show), field("Partition", parts)),
    el("div", { class: "pages" }, told, back, on),
    el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Items" },
      el("table", {}, el("thead", {}, el("tr", {}, heads)), body),
    ),
  );
  search.addEventListener("input", choose);
  show.addEventListener("change", choose);
  parts.addEventListener("change", choose);
  choose();
  section.dataset.drawn = "yes";
})();
