"use strict";
// What the scripts of all pages share. Text enters the page only as text nodes and attributes.
const Page = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const figures = new Set();

  // -- elements -------------------------------------------------------------------------------

  // el("a", {href: "#x", class: "name", on: {click: f}}, "text", child, ...); null is left out.
  function el(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "on") {
        for (const [event, listener] of Object.entries(value)) {
          element.addEventListener(event, listener);
        }
      } else if (value === true) {
        element.setAttribute(name, "");
      } else if (value !== null && value !== undefined && value !== false) {
        element.setAttribute(name, value);
      }
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  // A table: `head` and `rows` are cells (text or nodes); the first cell of a row names it.
  function table(caption, head, rows) {
    const cells = (row) =>
      row.map((cell, i) => el(i ? "td" : "th", { scope: i ? null : "row" }, cell));
    return el(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      el(
        "table",
        {},
        el("caption", {}, caption),
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            head.map((cell) => el("th", { scope: "col" }, cell)),
          ),
        ),
        el(
          "tbody",
          {},
          rows.map((row) => el("tr", {}, cells(row))),
        ),
      ),
    );
  }

  // A JSON value for reading, as text.
  function code(value) {
    return el("pre", { tabindex: "0" }, JSON.stringify(value, null, 2));
  }

  // -- what goes wrong ------------------------------------------------------------------------

  // A page that fails half-way says so instead of looking complete.
  function complain(reason) {
    const words = `This page could not be drawn completely (${reason}). It needs a browser of 2024 or later.`;
    document.getElementById("main").prepend(el("p", { class: "notice", role: "alert" }, words));
  }

  addEventListener("error", (event) => complain(event.message));
  addEventListener("unhandledrejection", (event) => complain(event.reason));

  // -- arrays ---------------------------------------------------------------------------------

  const kinds = {
    int8: Int8Array,
    uint8: Uint8Array,
    int16: Int16Array,
    uint16: Uint16Array,
    int32: Int32Array,
    float32: Float32Array,
    float64: Float64Array,
  };

  // The values of a block, as a promise of a typed array.
  async function array(name, kind) {
    const text = atob(document.getElementById("block-" + name).textContent);
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new kinds[kind](await new Response(stream).arrayBuffer());
  }

  // -- themes ---------------------------------------------------------------------------------

  const probe = el("span", { hidden: true });
  document.body.append(probe);

  // The colour that a custom property of the style has now: color("--ink").
  function color(name) {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  }

  const themes = ["system", "light", "dark"];
  const button = document.getElementById("theme");

  function setTheme(theme) {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    button.dataset.theme = theme;
    for (const figure of figures) draw(figure);
  }

  function remember(theme) {
    try {
      localStorage.setItem("vapipe-theme", theme);
    } catch (error) {
      console.info("the theme is not remembered: " + error.message);
    }
  }

  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(button.dataset.theme) + 1) % themes.length];
    remember(next);
    setTheme(next);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
    setTheme(button.dataset.theme),
  );

  // -- figures --------------------------------------------------------------------------------

  // Layout that all figures have; options in `more` win, axes are styled by `axis`.
  function layout(more) {
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("--ink") },
      margin: { l: 58, r: 12, t: 28, b: 44 },
      hoverlabel: {
        bgcolor: color("--panel"),
        bordercolor: color("--rule"),
        font: { color: color("--ink") },
      },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom" },
      ...more,
    };
  }

  function axis(more) {
    return {
      gridcolor: color("--grid"),
      zerolinecolor: color("--rule"),
      linecolor: color("--rule"),
      tickcolor: color("--rule"),
      automargin: false,
      ...more,
    };
  }

  let loading = null;

  // Run plotly, once, after the page as it is has been painted: that takes a second or two.
  function plotly() {
    loading ??= new Promise((resolve) => {
      requestAnimationFrame(() =>
        setTimeout(() => {
          const source = document.getElementById("plotly");
          source.replaceWith(el("script", {}, source.textContent));
          resolve(Plotly);
        }),
      );
    });
    return loading;
  }

  // Draw plotly's figure that build() gives ({data, layout}) into an element, and again when the
  // theme changes; what the user zoomed stays. Gives a promise of the element.
  async function figure(holder, build) {
    const own = { holder, build };
    for (const other of figures) if (other.holder === holder) figures.delete(other);
    figures.add(own);
    return draw(own);
  }

  async function draw({ holder, build }) {
    const Plotly = await plotly();
    const { data: traces, layout: shape } = build();
    const options = { displayModeBar: false, responsive: true, doubleClick: "reset" };
    await Plotly.react(holder, traces, { uirevision: "page", ...shape }, options);
    holder.dataset.drawn = "yes";
    return holder;
  }

  function forget(holder) {
    for (const other of figures) if (other.holder === holder) figures.delete(other);
    if (holder.dataset.drawn) Plotly.purge(holder);
    delete holder.dataset.drawn;
  }

  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  let remembered = null;
  try {
    remembered = localStorage.getItem("vapipe-theme");
  } catch (error) {
    console.info("no theme is remembered: " + error.message);
  }
  setTheme(themes.includes(remembered) ? remembered : "system");

  return { data, el, table, code, array, color, layout, axis, figure, forget, calm };
})();
