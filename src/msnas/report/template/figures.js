// ---------------------------------------------------------------- what is packed

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

let loading = null;

/** plotly.js, once a figure is looked at. */
function plotly() {
  loading ??= unpacked("plotly").then((text) => document.head.append(Object.assign(document.createElement("script"), { textContent: text })));
  return loading;
}

// ---------------------------------------------------------------- figures for the shown runs

const at = (list, place) => (Array.isArray(list) ? list[place] : list);

/** The trace at these places alone. */
function cut(trace, places) {
  const found = { ...trace, meta: { ...trace.meta } };
  for (const name of ["x", "y", "base", "text", "customdata"]) {
    if (Array.isArray(trace[name])) found[name] = places.map((place) => trace[name][place]);
  }
  for (const name of ["of", "keys", "share"]) {
    if (trace.meta?.[name]) found.meta[name] = places.map((place) => trace.meta[name][place]);
  }
  for (const name of ["error_x", "error_y"]) {
    if (!trace[name]?.array) continue;
    const [array, arrayminus] = ["array", "arrayminus"].map((one) => places.map((place) => at(trace[name][one], place)));
    found[name] = { ...trace[name], array, arrayminus };
  }
  return found;
}

/** Marks that are medians (`meta.of` has each run's number) for the shown runs. */
function medians(trace, active) {
  const numbers = trace.meta.of.map((of) => Object.keys(of).filter((key) => active.has(key)).map((key) => of[key]));
  const found = { ...trace, y: numbers.map(median) };
  const ends = numbers.map((own, place) => interval(own) ?? [found.y[place], found.y[place]]);
  if (trace.fill) { // a band
    const low = ends.map((one) => one[0]);
    found.x = [...trace.x.slice(0, low.length), ...trace.x.slice(0, low.length).reverse()];
    found.y = [...ends.map((one) => one[1]), ...low.reverse()];
  }
  if (trace.error_y?.array) {
    found.error_y = { ...trace.error_y, array: ends.map((one, place) => one[1] - found.y[place]), arrayminus: ends.map((one, place) => found.y[place] - one[0]) };
  }
  if (Array.isArray(trace.text)) found.text = numbers.map((own, place) => `${general(found.y[place])}<br>median of ${own.length} shown runs`);
  return found;
}

/** Bars that are shares of runs, one upon the other, for the shown runs. */
function shares(traces, active) {
  const tops = new Map();
  return traces.map((trace) => {
    if (!trace.meta?.share) return trace;
    const found = { ...trace, y: [], base: [], text: [] };
    trace.meta.share.forEach(([own, all], place) => {
      const [some, every] = [own, all].map((keys) => keys.filter((key) => active.has(key)).length);
      const name = `${trace.xaxis} ${trace.x[place]}`;
      found.base.push(tops.get(name) ?? 0);
      found.y.push(every ? some / every : 0);
      tops.set(name, found.base[place] + found.y[place]);
      found.text.push(`${some} of ${every} shown runs`);
    });
    return found;
  });
}

/** What a figure shows of the shown runs (null: all). */
function dataOf(figure, active) {
  if (!active) return figure.data;
  const traces = figure.data.map((trace) => {
    const length = trace.meta?.of?.length ?? trace.customdata?.length ?? trace.meta?.keys?.length ?? 0;
    if (!length) return trace;
    const shown = (place) => {
      const { of, keys } = trace.meta ?? {};
      if (of) return Object.keys(of[place]).some((key) => active.has(key));
      if (keys) return keys[place].every((key) => active.has(key));
      return !trace.customdata?.[place] || active.has(String(trace.customdata[place]));
    };
    if (trace.meta?.share) return trace;
    const kept = cut(trace, Array.from({ length }, (_, place) => place).filter(shown));
    return trace.meta?.of ? medians(kept, active) : kept;
  });
  return shares(traces, active).filter((trace) => !trace.meta?.all).map((trace) => (trace.name ? { ...trace, name: trace.name.replace(/, n = [^,;:]*/, "") } : trace));
}

// ---------------------------------------------------------------- how they look

/** Nodes of a text with plotly's tags `<sub>` and `<sup>`, and nothing else of HTML. */
const tagged = (text) => text.split(/<(sub|sup)>(.*?)<\/\1>/).map((one, at, all) => (at % 3 === 1 ? make(one, {}, all[at + 1]) : at % 3 ? null : one));

const dark = matchMedia("(prefers-color-scheme: dark)");
const narrow = matchMedia("(max-width: 40rem), (pointer: coarse)");
const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
const quiet = () => getComputedStyle(document.documentElement).getPropertyValue("--line").trim();

/** Black is the colour of the text. */
function inked(value) {
  if (value === "#000000") return ink();
  if (Array.isArray(value)) return typeof value[0] === "object" ? value.map(inked) : value;
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, inked(one)]));
}

/** Whether a trace has marks of runs. */
const known = ({ meta, customdata }) => [customdata?.some(Boolean), meta?.of?.length, meta?.keys?.length].some(Boolean);

// On a small screen panels beside each other keep their size: the figure is scrolled in its box.
function leastWidth(layout) {
  const axes = Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name));
  const columns = new Set(axes.map((name) => layout[name].domain?.[0] ?? 0)).size;
  return columns > 1 ? 270 * columns : 0;
}

function layoutOf(figure, active) {
  const layout = { ...inked(figure.layout), paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" };
  layout.font = { ...layout.font, color: ink() };
  layout.hoverlabel = { align: "left" };
  delete layout.width; // as wide as the page
  for (const name of Object.keys(layout).filter((one) => /^[xy]axis\d*$/.test(one))) {
    layout[name] = { ...layout[name], gridcolor: quiet(), linecolor: ink(), showline: true, ticks: "outside" };
  }
  layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: quiet(), activecolor: ink() };
  if (active) layout.annotations = layout.annotations?.filter((one) => one.name !== "words");
  if (narrow.matches) {
    layout.dragmode = false; // a finger scrolls
    layout.margin = { ...layout.margin, l: 50, r: 10 };
    for (const name of Object.keys(layout).filter((one) => /^[xy]axis\d*$/.test(one))) {
      layout[name] = { ...layout[name], tickfont: { size: 10 }, title: { ...layout[name].title, font: { size: 12 } } };
    }
  }
  return layout;
}

// ---------------------------------------------------------------- drawing

/**
 * A place for a figure that is drawn when it comes into view, and again for other runs. Its points
 * lead to their runs: by the mouse, and with arrow keys and Enter.
 */
function figureView(figure, open) {
  const height = figure.layout.height ?? 450;
  const said = make("p", { class: "unseen", role: "status" });
  const place = make("div", { class: "plot", tabindex: 0, role: "application", "aria-label": `${figure.title}: arrow keys go from point to point, Enter opens its run` });
  place.style.minHeight = `${height}px`;
  place.style.minWidth = `${leastWidth(figure.layout)}px`;
  const nothing = make("p", { class: "note", hidden: true }, "Nothing here is of the shown runs alone.");
  const box = make("div", { class: leastWidth(figure.layout) > 600 ? "box wide" : "box" }, nothing, place, said);
  let active = null;
  let drawn = false;
  let current = -1;

  async function draw() {
    drawn = true;
    try {
      await plotly();
      const options = { responsive: true, displaylogo: false, showSendToCloud: false, displayModeBar: narrow.matches ? false : "hover" };
      const first = !place.on;
      const data = dataOf(figure, active);
      nothing.hidden = data.some(known) || !figure.data.some(known);
      await Plotly.react(place, data.map(inked), layoutOf(figure, active), options);
      if (first) place.on("plotly_click", (event) => open(event.points.map((point) => String([point.customdata].flat()[0]))));
    } catch (error) {
      console.error(error);
      place.textContent = `This browser cannot draw it (${error.message}); its files are linked.`;
    }
  }

  const points = () => place.data?.flatMap((trace, curve) => (trace.visible === false || trace.type === "violin" ? [] : (trace.customdata ?? []).flatMap((key, point) => (key ? [{ curve, point, key: String(key), trace }] : [])))) ?? [];
  place.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const all = points();
    if (event.key === "Enter" && all[current]) open([all[current].key]);
    if (!step || !all.length) return;
    event.preventDefault();
    current = (current + step + all.length) % all.length;
    const { curve, point, key, trace } = all[current];
    const subplot = `${trace.xaxis ?? "x"}${trace.yaxis ?? "y"}`;
    Plotly.Fx.hover(place, [{ curveNumber: curve, pointNumber: point }], subplot);
    said.textContent = `${trace.name ?? ""} ${at(trace.text, point) ?? ""}, run ${key}`.replace(/<[^>]*>/g, " ");
  });
  const seen = new IntersectionObserver((changes) => {
    if (changes.some((one) => one.isIntersecting) && !drawn) draw();
  }, { rootMargin: "300px" });
  seen.observe(box);
  box.show = (runs) => {
    active = runs;
    current = -1;
    drawn = false;
    seen.unobserve(box);
    seen.observe(box); // tells at once whether it is in view
  };
  for (const one of [dark, narrow]) one.addEventListener("change", () => box.show(active));
  return box;
}
