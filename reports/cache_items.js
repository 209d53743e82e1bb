// The table of items: sorted, filtered, in pages, with details on demand.
const PAGE = 50;
const { ids, texts, codes } = data.items;
const { streams } = data;
const N = ids.length;
const [states, reasons, counts, nbytes, frames, fps, labelled, media, partition, trouble] = await Promise.all(
  Object.entries({
    states: "uint8", reasons: "int32", counts: "int32", nbytes: "float64", frames: "int32", fps: "float64",
    labelled: "int32", media: "int32", partition: "int32", trouble: "int32",
  }).map(([name, kind]) => array(name, kind)),
);
const videoOf = (i) => data.items.videos[i] ?? ids[i];
const oddOf = (i) => data.items.odd[i] ?? [];
const stateOf = (u, i) => data.states[states[u * N + i]];
const codesOf = (u, i) =>
  codes.map((code, k) => [code, counts[(u * codes.length + k) * N + i]]).filter(([, n]) => n);

// The share of usable rows; below 0 where an item is not complete, so that it sorts first.
function rate(u, i) {
  const state = states[u * N + i];
  return state ? -state : 1 - shares(codesOf(u, i)).unusable / frames[i];
}

const signs = { missing: "○", stale: "◐", damaged: "✕" };

function cellOf(u, i) {
  const state = stateOf(u, i);
  if (state !== "complete") return el("span.state", `${signs[state]} ${state}`);
  const parts = shares(codesOf(u, i));
  return [percent(frames[i] - parts.unusable, frames[i]), bar(Object.entries(parts))];
}

const rank = Object.fromEntries(data.partitions.map(({ name }, n) => [name, n]));
const shown = [
  { name: "item", order: (i, j) => collator.compare(ids[i], ids[j]) },
  ...streams.map(({ name }, u) => ({ name, key: (i) => rate(u, i), cell: (i) => cellOf(u, i) })),
  {
    name: "labelled",
    key: (i) => labelled[i] / frames[i],
    cell: (i) => (labelled[i] < 0 ? "none" : percent(labelled[i], frames[i])),
  },
  { name: "partition", key: (i) => rank[texts[partition[i]]], cell: (i) => texts[partition[i]] },
  { name: "duration", key: (i) => frames[i] / fps[i], cell: (i) => duration(frames[i] / fps[i]) },
  { name: "frames/s", key: (i) => fps[i], cell: (i) => fps[i].toFixed(2) },
  {
    name: "timestamp anomalies",
    key: (i) => oddOf(i).length,
    cell: (i) => [...new Set(oddOf(i).map(([kind]) => kind))].join(", ") || "–",
  },
  { name: "size", key: (i) => nbytes[i], cell: (i) => size(nbytes[i]) },
];

// -- filters --------------------------------------------------------------------------------------

const inSome = (fits) => (i) => streams.some((_, u) => fits(u, i));
const lacks = (state) => [`${state} in a stream`, inSome((u, i) => stateOf(u, i) === state)];
const filter = filterChoice(N, [
  ["all items", () => true],
  ["not complete", inSome((u, i) => states[u * N + i])],
  ...["missing", "stale", "damaged"].map(lacks),
  ["half the rows or more not usable", inSome((u, i) => !states[u * N + i] && rate(u, i) <= 0.5)],
  ["without labels", (i) => labelled[i] < 1],
  ["times or labels not readable", (i) => trouble[i] > 0],
  ...Object.keys(data.odd).map((kind) => [kind, (i) => oddOf(i).some(([name]) => name === kind)]),
], choose);
const search = searchField(choose);
const partitions = data.partitions.map(({ name }) => choice(name));
const parts = el("select", { onchange: choose }, choice("", "any"), partitions);
let sorted = { column: 0, down: false };
let order = [];
let page = 0;

function choose() {
  const wanted = search.value.toLowerCase();
  const named = (i) => [ids[i], videoOf(i)].some((name) => name.toLowerCase().includes(wanted));
  order = Array.from({ length: N }, (_, i) => i).filter(
    (i) => (!parts.value || texts[partition[i]] === parts.value) && named(i) && filter.fits(i),
  );
  const { key, order: compare } = shown[sorted.column];
  const keys = new Float64Array(N);
  if (key) for (const i of order) keys[i] = key(i);
  const sign = sorted.down ? -1 : 1;
  order.sort((i, j) => sign * (compare ? compare(i, j) : keys[i] - keys[j]) || i - j);
  turn(0);
}

// -- the table ------------------------------------------------------------------------------------

const names = shown.map(({ name }) => name);
const headings = names.map((name, column) => el("button", { onclick: () => sortBy(column) }, name));
const found = bareTable("", headings, []);
found.caption.remove();
const told = el("p", { role: "status" });
const back = el("button", { onclick: () => turn(page - 1) }, "Previous");
const on = el("button", { onclick: () => turn(page + 1) }, "Next");

function sortBy(column) {
  // The first press shows names from a to z, and of figures what is worst or least.
  sorted = { column, down: sorted.column === column && !sorted.down };
  choose();
}

function turn(to) {
  page = to;
  const first = page * PAGE;
  const rows = order.slice(first, first + PAGE);
  found.tBodies[0].replaceChildren(...rows.map(itemRow));
  [...found.tHead.rows[0].cells].forEach((head, column) => {
    if (column !== sorted.column) head.removeAttribute("aria-sort");
    else head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
  });
  back.disabled = page === 0;
  on.disabled = first + PAGE >= order.length;
  const range = rows.length ? `; ${count(first + 1)} to ${count(first + rows.length)} shown` : "";
  told.textContent = `${count(order.length)} of ${some(N, "item")}${range}`;
}

function itemRow(i) {
  const button = el("button", { "aria-expanded": "false", onclick: toggle }, breakable(ids[i]));
  const row = line([button, ...shown.slice(1).map(({ cell }) => cell(i))], names);
  function toggle() {
    const open = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!open));
    if (open) row.nextElementSibling.remove();
    else row.after(el("tr", el("td.more", { colspan: shown.length }, details(i))));
  }
  return row;
}

function details(i) {
  const number = data.sheets.findIndex(({ item }) => item === ids[i]);
  const annotated = labelled[i] < 0 ? "no labels" : `${count(labelled[i])} frames annotated`;
  const file = data.items.files[i] ?? "of the same name";
  const length = `${count(frames[i])} frames, ${duration(frames[i] / fps[i])}`;
  const facts = [
    `Video ${videoOf(i)}, file ${file}: ${texts[media[i]] || "codec unknown"}.`,
    `${length}, ${fps[i].toFixed(4)} frames/s; ${annotated}.`,
    ...(trouble[i] ? [`Not readable: ${texts[trouble[i]]}`] : []),
    ...oddOf(i).map(([kind, text]) => `${kind}: ${text}`),
  ];
  const each = streams.map(({ name }, u) => {
    const rows = codesOf(u, i);
    const reason = texts[reasons[u * N + i]];
    const counted = rows.map(([code, n]) => `${count(n)} ${codeName(code)}`).join(", ");
    const complete = stateOf(u, i) === "complete" && `${inWords(shares(rows))} (${counted})`;
    return el("li", `${name}: ${complete || stateOf(u, i) + (reason && `: ${reason}`)}`);
  });
  const link = number >= 0 && el("p", el("a", { href: `#sheet-${number}` }, "Faces and sound"));
  return el("div", facts.map((text) => el("p", text)), el("ul", each), link);
}

if (N) {
  const cut =
    N < data.totals.items &&
    ` Only ${count(N)} of ${count(data.totals.items)} items are listed: ` +
      "those with most that is not complete.";
  const about =
    "Under a stream stands the share of usable rows. Press a heading to sort, an item for its details.";
  at("items").append(
    el("p", about, cut || ""),
    controls({ "Name contains": search, Show: filter.select, Partition: parts }),
    el("div.controls", told, back, on),
    el("div.scroll.wide", { tabindex: 0, role: "region", "aria-label": "Items" }, found),
  );
  choose();
  at("items").dataset.drawn = "yes";
} else at("items").append(el("p", "There is no item yet."));
