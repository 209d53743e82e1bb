// What all pages share. A page's scripts stand in one module, this one first. Text enters the page
// only as text nodes and attributes.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);

// -- elements -------------------------------------------------------------------------------------

// el("a.name", {href: "#x", onclick: f}, "text", [child], ...): attributes may be left out; null and
// false, as attributes and as children, too.
function el(tag, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  const attributes = children[0]?.constructor === Object ? children.shift() : {};
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if ((value ?? false) !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => (child ?? false) !== false));
  return element;
}

// A row of cells (text or nodes), of which the first names it; before it, the row's attributes.
function line(cells, head) {
  const own = cells[0]?.constructor === Object ? cells[0] : {};
  const [name, ...rest] = own === cells[0] ? cells.slice(1) : cells;
  const tds = rest.map((cell, i) => el("td", { "data-label": head[i + 1] }, cell));
  return el("tr", own, el("th", { scope: "row" }, name), tds);
}

function bareTable(caption, head, rows) {
  return el(
    "table",
    el("caption", caption),
    el("thead", el("tr", head.map((cell) => el("th", { scope: "col" }, cell)))),
    el("tbody", rows.map((cells) => line(cells, head))),
  );
}

// A table that scrolls by itself; a wide one stands as a list on a narrow screen.
function table(caption, head, rows) {
  const own = { tabindex: 0, role: "region", "aria-label": caption };
  return el(`div.scroll${head.length > 3 ? ".wide" : ""}`, own, bareTable(caption, head, rows));
}

const choice = (value, text = value) => el("option", { value }, text);

// A choice among filters [[name, fits], ...] of things 0 to n - 1, with how many each leaves; those
// that leave none are not offered. `fits(i)` asks the chosen one.
function filterChoice(n, filters, onchange) {
  const left = filters.map(([, fits]) => Array.from({ length: n }, (_, i) => i).filter(fits).length);
  const options = filters.map(([name], k) => (left[k] || !k) && choice(name, `${name} (${count(left[k])})`));
  const select = el("select", { onchange }, options);
  const byName = new Map(filters);
  return { select, fits: (i) => byName.get(select.value)(i) };
}

// Controls with their names above them, from {name: control}.
const controls = (fields) =>
  el("div.controls", Object.entries(fields).map(([name, control]) => el("label", name, control)));
const searchField = (oninput) => el("input", { type: "search", autocomplete: "off", spellcheck: "false", oninput });
const collator = new Intl.Collator("en", { numeric: true });

// -- figures for people ---------------------------------------------------------------------------

const count = (n) => n.toLocaleString("en");
const some = (n, one) => `${count(n)} ${one}${n === 1 ? "" : "s"}`;
const figure3 = (value) => (Number.isFinite(value) ? value.toFixed(3).replace("-", "−") : "–");
const signed = (value) => (value < 0 ? "" : "+") + figure3(value);
const short = (text, most = 32) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

// Long names break after their separators.
const breakable = (name) =>
  name.split(/(?<=[_./-])(?=.)/).flatMap((part, i) => (i ? [el("wbr"), part] : [part]));

// -- what goes wrong ------------------------------------------------------------------------------

// A page that fails half-way says so instead of looking complete.
function complain(reason) {
  const words = `This page could not be drawn completely (${reason}). It needs a browser of 2024 or later.`;
  at("main").prepend(el("p.notice", { role: "alert" }, words));
}

addEventListener("error", (event) => complain(event.error ?? event.message));
addEventListener("unhandledrejection", (event) => complain(event.reason));

// -- arrays ---------------------------------------------------------------------------------------

const arrayTypes = {
  uint8: Uint8Array, int16: Int16Array, int32: Int32Array, float64: Float64Array,
};

// The values of a block, as a promise of a typed array.
async function array(name, kind) {
  const bytes = Uint8Array.from(atob(at(`block-${name}`).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new arrayTypes[kind](await new Response(stream).arrayBuffer());
}

// -- themes ---------------------------------------------------------------------------------------

const probe = el("span", { hidden: true });
document.body.append(probe);

// The colour that a custom property of the style has now: color("--ink").
function color(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

const plots = new Map(); // element -> build, as given to `plot`
const themes = ["system", "light", "dark"];

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  at("theme").textContent = `Theme: ${theme}`;
  at("theme").dataset.theme = theme;
  for (const holder of plots.keys()) draw(holder);
}

// Where a browser gives a page no memory, the theme is not kept.
function remembered(theme) {
  try {
    if (theme) localStorage.setItem("vapipe-theme", theme);
    return localStorage.getItem("vapipe-theme");
  } catch (error) {
    console.info(`the theme is not remembered: ${error.message}`);
    return null;
  }
}

at("theme").addEventListener("click", () => {
  const next = themes[(themes.indexOf(at("theme").dataset.theme) + 1) % themes.length];
  remembered(next);
  setTheme(next);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  setTheme(at("theme").dataset.theme),
);
setTheme(themes.includes(remembered()) ? remembered() : "system");

// -- plots ----------------------------------------------------------------------------------------

// What all plots look like; what a plot says itself wins.
function template() {
  const rule = color("--rule");
  const axis = {
    gridcolor: color("--grid"), zerolinecolor: rule, linecolor: rule, tickcolor: rule,
    showline: true, ticks: "outside", title: { standoff: 8 },
  };
  return {
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("--ink") },
      margin: { l: 58, r: 12, t: 28, b: 44 },
      hoverlabel: { bgcolor: color("--panel"), bordercolor: rule, font: { color: color("--ink") } },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom" },
      xaxis: axis,
      yaxis: axis,
    },
  };
}

let loading = null;

// Run plotly, once, after the page as it is has been painted: that takes a second or two.
function plotly() {
  const run = (resolve) => {
    const source = at("plotly");
    source.replaceWith(el("script", source.textContent));
    resolve(Plotly);
  };
  loading ??= new Promise((resolve) => requestAnimationFrame(() => setTimeout(run, 0, resolve)));
  return loading;
}

// Draw plotly's figure that build() gives ({data, layout}) into an element, and again when the theme
// changes; what the user zoomed stays. A promise of the element.
function plot(holder, build) {
  plots.set(holder, build);
  return draw(holder);
}

async function draw(holder) {
  const { react } = await plotly();
  const { data: traces, layout } = plots.get(holder)();
  const options = { displayModeBar: false, responsive: true, doubleClick: "reset" };
  await react(holder, traces, { uirevision: "page", template: template(), ...layout }, options);
  holder.dataset.drawn = "yes";
  return holder;
}
