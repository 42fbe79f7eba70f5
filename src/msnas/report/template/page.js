// ---------------------------------------------------------------- which runs are shown

const runs = page.runs;
const column = Object.fromEntries(runs.columns.map((name, place) => [name, place]));
const ids = runs.rows.filter((row) => row[column.status] === "finished").map((row) => row[column.run]);
const FILTERS = { label: "Method", v1: "Weight v1", seed: "Seed", status: "Status" };

const textOf = (value) => (typeof value === "number" ? general(value, 6) : String(value ?? "none"));

/** The rows of runs that the filters leave, and their keys; null if nothing is filtered. */
function filtered() {
  const wanted = Object.keys(FILTERS).filter((name) => state.has(name));
  if (!wanted.length) return { rows: runs.rows, active: null };
  const rows = runs.rows.filter((row) => wanted.every((name) => state.getAll(name).includes(textOf(row[column[name]]))));
  return { rows, active: new Set(rows.map((row) => row[column.key]).filter(Boolean)) };
}

function filterView(name, title) {
  const values = [...new Set(runs.rows.map((row) => row[column[name]]))].sort((one, other) => compare(one, other, 1)).map(textOf);
  const summary = make("summary");
  const boxes = values.map((value) => make("input", { type: "checkbox", value, change: () => { setState(name, boxes.filter((one) => one.checked).map((one) => one.value)); showAll(); } }));
  const view = make("details", { class: "menu", "data-filter": name }, summary,
    make("div", { class: "choices" }, boxes.map((box, place) => make("label", {}, box, ` ${values[place]}`))));
  view.show = () => {
    const on = state.getAll(name);
    for (const box of boxes) box.checked = on.includes(box.value);
    summary.textContent = `${title}: ${on.length ? `${on.length} of ${values.length}` : `all ${values.length}`}`;
  };
  return view;
}

function problemView() {
  const select = make("select", { id: "problem", change: () => { location.href = select.value; } },
    page.beside.map(([name, address]) => make("option", { value: address, selected: !address }, name)));
  return make("span", {}, make("label", { for: "problem" }, "Problem "), select);
}

// ---------------------------------------------------------------- the page

const main = document.querySelector("main");
const nav = make("nav", { "aria-label": "Sections" });
document.querySelector("header").append(nav);

function section(id, title, ...children) {
  nav.append(make("a", { href: `#${id}`, click: (event) => { // the address keeps what is looked at
    event.preventDefault();
    document.getElementById(id).scrollIntoView();
  } }, title));
  const found = make("section", { id }, make("h2", {}, title), ...children);
  main.append(found);
  return found;
}

const terms = (list) => make("dl", {}, list.map(([term, text]) => [make("dt", {}, term), make("dd", {}, text)]));

if (page.answer.length) section("answer", "Answer", make("div", { class: "card" }, terms(page.answer)), make("p", { class: "note" }, "From all runs of the problem, whatever is filtered below."));

const shownCount = make("p", { role: "status" });
const filters = Object.entries(FILTERS).filter(([name]) => name in column).map(([name, title]) => filterView(name, title));
if (runs.rows.length) {
  section("filters", "Which runs are shown",
    make("div", { class: "bar" }, page.beside.length ? problemView() : null, filters,
      make("button", { type: "button", click: () => { for (const name of Object.keys(FILTERS)) setState(name, []); showAll(); } }, "All runs")), shownCount);
}

const runPlace = make("section", { id: "run", hidden: true });
main.append(runPlace);

async function openRun(id, move = true) {
  if (!ids.includes(id)) return;
  setState("run", [id]);
  if (await fillRun(runPlace, ids) && move) {
    runPlace.scrollIntoView();
    runPlace.querySelector("h2").focus({ preventScroll: true });
  }
}

const keyed = new Map(runs.rows.filter((row) => row[column.status] === "finished").map((row) => [String(row[column.key]), row[column.run]]).reverse());
const openKey = (keys) => { const known = keys.find((key) => keyed.has(key)); if (known) openRun(keyed.get(known)); };

const runTable = tableView({
  name: "runs", title: "All runs", caption: "The selected chain of every run; further columns as in results.csv.", shown: runs.shown,
  link: (name, value, row) => (name !== "run" ? null : row[column.status] === "finished" ? `#run=${value}` : `${value}/`),
});
const tables = page.tables.map((one) => {
  const view = tableView({ name: one.name, title: one.title, caption: one.caption, link: (name, value) => (name === "report" ? value : null) });
  return { one, view };
});
if (tables.length) section("tables", "Tables", ...tables.flatMap(({ one, view }) => [make("h3", {}, one.title), view]));

const figures = page.figures.map((one) => {
  const caption = make("figcaption", {}, one.caption, " ", tagged(one.notes), one.files.map(([name, address]) => [" ", make("a", { href: address }, name)]));
  const view = figureView(one, openKey);
  return { view, element: make("figure", { id: `figure-${one.name.replace(/[^A-Za-z0-9_-]/g, "_")}` }, make("h3", {}, one.title), view, caption) };
});
const figuresNote = make("p", { class: "note" });
if (figures.length || page.missing.length) {
  section("figures", "Figures", figuresNote, make("div", { class: "figures" }, figures.map((one) => one.element)),
    ...(page.missing.length ? [make("h3", {}, "Not drawn"), make("ul", {}, page.missing.map(([name, reason]) => make("li", {}, make("strong", {}, name), `: ${reason}`)))] : []));
}

if (runs.rows.length) section("runs", "Runs", runTable, page.common.length ? make("details", { id: "common" }, make("summary", {}, "Settings common to all runs"), plainTable("common", "Common settings", "", ["setting", "value"], page.common.map(([name, value]) => [name, shownValue(value)]))) : null);

if (page.provenance.length) {
  const text = page.provenance.map(([term, one]) => `${term}: ${one}`).join("\n");
  const copied = make("span", { role: "status" });
  const copy = make("button", { type: "button", click: async () => {
    try {
      await navigator.clipboard.writeText(text);
      copied.textContent = " copied";
    } catch {
      getSelection().selectAllChildren(document.querySelector("#provenance dl"));
      copied.textContent = " selected: copy it with the keyboard";
    }
  } }, "Copy");
  section("provenance", "Where this comes from", terms(page.provenance), make("p", {}, copy, copied));
}

// ---------------------------------------------------------------- all of it follows

function showAll() {
  const { rows, active } = filtered();
  const finished = rows.filter((row) => row[column.status] === "finished").length;
  for (const one of filters) one.show();
  shownCount.textContent = `${finished} of ${ids.length} finished runs, ${rows.length - finished} of ${runs.rows.length - ids.length} without a result.`;
  runTable.fill(runs.columns, rows);
  for (const { one, view } of tables) {
    const made = tableOf(one, active);
    view.fill(made.columns, made.rows, made.hidden ? `${made.hidden} rows are of runs that are not shown, and left out.` : "");
  }
  figuresNote.textContent = active
    ? "Points, medians, intervals and shares are of the shown runs; lines and areas that belong to no run stay those of all."
    : "A click on a point opens its run; so do arrow keys and Enter.";
  for (const one of figures) one.view.show(active);
}

function look() {
  const now = new URLSearchParams(location.hash.slice(1));
  if (now.has("run") && now.size === 1) state.set("run", now.get("run")); // a link to a run keeps the rest
  else {
    for (const name of [...state.keys()]) state.delete(name);
    for (const [name, value] of now) state.append(name, value);
    showAll();
  }
  openRun(state.get("run"));
}

addEventListener("hashchange", look);
document.addEventListener("click", (event) => {
  // a second click on the link of the place we are at changes no address
  const link = event.target.closest?.("a[href^='#run=']");
  if (!link) return;
  event.preventDefault();
  openRun(link.getAttribute("href").slice(5));
});

if (page.renew) {
  const pause = make("input", { type: "checkbox", id: "renew", checked: true });
  document.querySelector("header").append(make("p", {}, pause, make("label", { for: "renew" }, ` Runs are still at work: loaded again every ${page.renew} s`)));
  setInterval(() => { if (pause.checked) location.reload(); }, 1000 * page.renew);
}

showAll();
openRun(state.get("run"));
