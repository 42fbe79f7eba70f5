"use strict";

// ---------------------------------------------------------------- tables
// The order is kept in the address, #sort=<table>.<column>.<ascending|descending>, to be shared.

function sortTable(table, column, direction) {
  const body = table.tBodies[0];
  const sign = direction === "descending" ? -1 : 1;
  const rows = [...body.rows].map((row) => {
    const cell = row.cells[column];
    const text = cell.textContent.trim();
    return { row, text, number: "value" in cell.dataset ? Number(cell.dataset.value) : null };
  });
  rows.sort((one, other) => {
    if (!one.text || !other.text) return !one.text - !other.text; // nothing comes last
    if (one.number !== null && other.number !== null) return sign * (one.number - other.number);
    if (one.number !== null || other.number !== null) return one.number === null ? 1 : -1;
    return sign * one.text.localeCompare(other.text, "en", { numeric: true });
  });
  body.append(...rows.map((one) => one.row));
  for (const [place, head] of [...table.tHead.rows[0].cells].entries()) {
    head.setAttribute("aria-sort", place === column ? direction : "none");
  }
}

for (const table of document.querySelectorAll("table.sortable")) {
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    head.querySelector("button").addEventListener("click", () => {
      const ascending = head.getAttribute("aria-sort") === "ascending";
      const direction = ascending ? "descending" : "ascending";
      sortTable(table, column, direction);
      history.replaceState(null, "", `#sort=${table.id}.${column}.${direction}`);
    });
  }
}

// ---------------------------------------------------------------- places

function openRun(details) {
  for (const one of document.querySelectorAll("details.chosen")) one.classList.remove("chosen");
  details.open = true;
  details.classList.add("chosen");
  details.scrollIntoView({ block: "start" });
}

function goTo(hash) {
  const name = decodeURIComponent(hash.slice(1));
  const order = /^sort=([\w.-]+)\.(\d+)\.(ascending|descending)$/.exec(name);
  if (order) {
    const table = document.getElementById(order[1]);
    if (table?.matches("table.sortable") && table.tHead.rows[0].cells[order[2]]) {
      sortTable(table, Number(order[2]), order[3]);
      table.scrollIntoView({ block: "nearest" });
    }
    return;
  }
  const place = document.getElementById(name);
  if (place?.matches("details")) openRun(place);
}

addEventListener("hashchange", () => goTo(location.hash));
document.addEventListener("click", (event) => {
  // a second click on the link of the place we are at changes no address
  const link = event.target.closest?.("a[href^='#']");
  if (link && link.getAttribute("href") === location.hash) goTo(location.hash);
});

// ---------------------------------------------------------------- figures

const runs = new Map();
for (const details of document.querySelectorAll("details[data-key]")) {
  if (!runs.has(details.dataset.key)) runs.set(details.dataset.key, details);
}

function openRunOfPoint(event) {
  for (const point of event.points) {
    const details = runs.get(String([point.customdata].flat()[0]));
    if (details) {
      location.hash = `#${details.id}`;
      openRun(details);
      return;
    }
  }
}

// On a small screen panels beside each other keep their size: the figure is scrolled in its box.
function leastWidth(layout) {
  const axes = Object.keys(layout).filter((name) => /^xaxis\d*$/.test(name));
  const columns = new Set(axes.map((name) => layout[name].domain?.[0] ?? 0)).size;
  return columns > 1 ? 270 * columns : 0;
}

async function draw(place) {
  const figure = JSON.parse(document.getElementById(place.dataset.plot).textContent);
  const layout = figure.layout ?? {};
  delete layout.width; // as wide as the page
  const options = { responsive: true, displaylogo: false, showSendToCloud: false };
  if (matchMedia("(max-width: 40rem), (pointer: coarse)").matches) {
    place.style.minWidth = `${leastWidth(layout)}px`;
    layout.dragmode = false; // a finger scrolls
    options.displayModeBar = false;
    layout.margin = { ...layout.margin, l: 50, r: 10 };
    if (layout.legend?.orientation !== "h") { // beside the axes there is no room
      layout.legend = { ...layout.legend, orientation: "h", x: 0, y: -0.2, xanchor: "left", yanchor: "top" };
    }
  }
  await Plotly.newPlot(place, figure.data ?? [], layout, options);
  place.on("plotly_click", openRunOfPoint);
}

async function loadPlotly() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (one) => one.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
}

async function drawAll() {
  const places = [...document.querySelectorAll("[data-plot]")];
  if (!places.length) return;
  try {
    await loadPlotly();
  } catch (error) {
    console.error(error);
    document.getElementById("figures-said").textContent =
      "This browser cannot draw the figures here (a newer one can); their files are linked.";
    return;
  }
  for (const place of places) {
    try {
      await draw(place);
    } catch (error) {
      console.error(error);
      place.textContent = `Could not be drawn here: ${error.message}`;
    }
    await new Promise((next) => setTimeout(next)); // the page stays usable meanwhile
  }
}

goTo(location.hash);
drawAll();
