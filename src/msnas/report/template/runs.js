// ---------------------------------------------------------------- one run, and two side by side

let details = null;

/** What is held of single runs, unpacked once one is looked at. */
function loadDetails() {
  details ??= unpacked("details").then(JSON.parse);
  return details;
}

const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c510a"];

/** The kinds of numbers in learning curves: the losses first, then the rest as they come. */
function kindsOf(curves) {
  const found = new Set();
  for (const name of curves.flatMap((one) => Object.keys(one.values))) {
    const [first, second] = name.split("/");
    if (first === "train" || first === "valid") found.add(second);
    else found.add(first);
  }
  return [...found].sort((one, other) => (other === "loss") - (one === "loss"));
}

/** The lines of one kind, by panel: a stage, or of alpha and theta a task. */
function panelsOf(curves, kind) {
  const panels = new Map();
  for (const { stage, model, epochs, values } of curves) {
    for (const [name, numbers] of Object.entries(values)) {
      const parts = name.split("/");
      const loss = parts[0] === "train" || parts[0] === "valid";
      if (parts[loss ? 1 : 0] !== kind) continue;
      const panel = parts.length > 2 ? `${stage}: ${parts[1]}` : stage;
      const line = loss || parts.length === 1 ? model : parts.at(-1);
      const own = panels.get(panel) ?? [];
      own.push({ line, dash: parts[0] === "train" ? "dot" : "solid", epochs, numbers });
      panels.set(panel, own);
    }
  }
  return panels;
}

/** A figure of learning curves: a panel beside the other where there is room. */
function curvesFigure(curves, kind) {
  const panels = [...panelsOf(curves, kind)];
  const columns = Math.min(panels.length, narrow.matches ? 1 : 3);
  const rows = Math.ceil(panels.length / columns);
  const layout = { height: 90 + 250 * rows, margin: { t: 40, b: 50, l: 55, r: 15 }, annotations: [], legend: { orientation: "h" } };
  const data = panels.flatMap(([title, lines], place) => {
    const number = place ? place + 1 : "";
    const [column, row] = [place % columns, Math.floor(place / columns)];
    const [left, top] = [column / columns, 1 - row / rows];
    layout[`xaxis${number}`] = { domain: [left + 0.03, left + 1 / columns - 0.02], anchor: `y${number}`, title: { text: "epoch", standoff: 4 } };
    layout[`yaxis${number}`] = { domain: [top - 1 / rows + 0.2 / rows, top - 0.05 / rows], anchor: `x${number}` };
    layout.annotations.push({ text: title, x: left + 0.5 / columns, y: top, xref: "paper", yref: "paper", showarrow: false, yanchor: "bottom", xanchor: "center" });
    const names = [...new Set(lines.map((one) => one.line))];
    return lines.map(({ line, dash, epochs, numbers }) => ({
      type: "scatter",
      mode: epochs.length > 1 ? "lines" : "markers",
      x: epochs,
      y: numbers,
      xaxis: `x${number}`,
      yaxis: `y${number}`,
      name: `${line}${dash === "dot" ? ", training" : ""}`,
      showlegend: false,
      line: { dash, width: 1.5, color: COLOURS[names.indexOf(line) % COLOURS.length] },
      hovertemplate: `${escaped(line)}${dash === "dot" ? ", training" : ""}: %{y}<extra></extra>`,
    }));
  });
  return { title: `Learning curves, ${kind}`, data, layout };
}

/** A text in which plotly sees no markup. */
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function curvesView(curves, id) {
  if (!curves.length) return make("p", { class: "note" }, "No learning curves: there is no readable history.jsonl.");
  const kinds = kindsOf(curves);
  const place = make("div");
  const beliefs = kinds.filter((one) => one === "alpha" || one === "theta");
  const draw = (kind) => place.replaceChildren(figureView(curvesFigure(curves, kind), () => {}));
  const select = make("select", { id: `curves-${id}`, change: () => draw(select.value) }, kinds.map((one) => make("option", {}, one)));
  draw(kinds[0]);
  return make("div", {}, make("h4", {}, "Learning curves"),
    make("p", {}, make("label", { for: `curves-${id}` }, "Quantity "), select, make("span", { class: "note" }, " A colour for each model; dotted: training events, else validation events.")),
    place, beliefs.map((one) => [make("h4", {}, `Belief of the search (${one})`), figureView(curvesFigure(curves, one), () => {})]));
}

const shownValue = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : value === null ? "null" : String(value));

function plainTable(name, title, caption, columns, rows, mixed = false) {
  const view = tableView({ name, title, caption, mixed });
  view.fill(columns, rows);
  return view;
}

/** One run: what it is, its files, settings, curves, chains and log. */
function runView(id, run) {
  const names = run.chains.length ? [...new Set(run.chains.flatMap(Object.keys))] : [];
  return make("div", { class: "run" },
    make("h3", {}, `Run ${id}`), make("p", {}, run.told),
    make("p", {}, make("a", { href: run.directory[1] }, run.directory[0]), run.files.map(([name, address]) => [" ", make("a", { href: address }, name)])),
    curvesView(run.curves, id),
    names.length ? [make("h4", {}, "Chains"), plainTable(`chains-${id}`, `Chains of run ${id}`, "Validation numbers of every chain at the end of a stage.", names, run.chains.map((one) => names.map((name) => one[name] ?? null)))] : null,
    make("h4", {}, "Settings beside those common to all runs"),
    plainTable(`settings-${id}`, `Settings of run ${id}`, "", ["setting", "value"], Object.entries(run.settings).map(([name, value]) => [name, shownValue(value)])),
    make("details", {}, make("summary", {}, "Log"), make("pre", { tabindex: 0 }, run.log || "no log")));
}

/** Where two runs differ: settings, and numbers with their difference. */
function differenceView(first, one, second, other) {
  const settings = [...new Set([one, other].flatMap((run) => Object.keys(run.settings)))]
    .map((name) => [name, ...[one, other].map((run) => (name in run.settings ? shownValue(run.settings[name]) : "not set"))])
    .filter(([, own, its]) => own !== its);
  const numbers = [...new Set([one, other].flatMap((run) => Object.keys(run.numbers)))].map((name) => {
    const [own, its] = [one, other].map((run) => run.numbers[name] ?? null);
    return [name, own, its, own === null || its === null ? null : its - own];
  });
  return make("div", {}, make("h3", {}, `${second} compared with ${first}`),
    plainTable("difference-numbers", "Numbers of two runs", "Of the selected chains; difference: the second minus the first.", ["number", first, second, "difference"], numbers, true),
    plainTable("difference-settings", "Settings of two runs", settings.length ? "Where they differ." : "They differ in none.", ["setting", first, second], settings));
}

/** The section of the run in the address, and of the one beside it. */
async function fillRun(place, ids) {
  const id = state.get("run");
  const known = await loadDetails();
  if (!known[id]) {
    place.hidden = true;
    return false;
  }
  const other = known[state.get("with")] ? state.get("with") : "";
  const select = make("select", { id: "with", change: () => { setState("with", select.value ? [select.value] : []); fillRun(place, ids); } },
    make("option", { value: "" }, "no other run"),
    ids.filter((one) => one !== id).map((one) => make("option", { value: one, selected: one === other }, `${one}: ${known[one].told}`)));
  const close = make("button", { type: "button", click: () => { setState("run", []); setState("with", []); place.hidden = true; } }, "Close");
  place.replaceChildren(make("h2", { tabindex: -1 }, other ? "Two runs" : "One run"),
    make("p", { class: "bar" }, make("label", { for: "with" }, "Beside "), select, close),
    ...(other ? [differenceView(id, known[id], other, known[other])] : []),
    make("div", { class: other ? "two" : "" }, runView(id, known[id]), other ? runView(other, known[other]) : null));
  place.hidden = false;
  return true;
}
