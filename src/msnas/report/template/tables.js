"use strict";

const page = JSON.parse(document.getElementById("data").textContent);

/** An element with attributes (functions listen to events) and children; texts stay texts. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false && value !== null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined));
  return element;
}

// ---------------------------------------------------------------- the address
// What is looked at is kept behind the # of the address, so that it can be shared and survives a
// renewal: filters as label=spos&seed=0, run=<key>&with=<key>, sort=<table>.<column>.<direction>.

const state = new URLSearchParams(location.hash.slice(1));

function setState(name, values) {
  state.delete(name);
  for (const value of values) state.append(name, value);
  const text = state.toString();
  history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
}

// ---------------------------------------------------------------- statistics
// The same as STATISTICS of msnas/report/tables.py, for the rows that are shown.

/** As Python's `%.4g`. */
function general(value, digits = 4) {
  if (!Number.isFinite(value) || value === 0) return String(value);
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const plain = (text) => (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  if (exponent >= -4 && exponent < digits) return plain(value.toFixed(digits - 1 - exponent));
  return `${plain(mantissa)}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

const sorted = (values) => values.filter((one) => typeof one === "number").sort((a, b) => a - b);

function median(values) {
  const known = sorted(values);
  if (!known.length) return null;
  const middle = known.length >> 1;
  return known.length % 2 ? known[middle] : (known[middle - 1] + known[middle]) / 2;
}

/** The narrowest pair of order statistics that covers the median with the level; null if none. */
function interval(values) {
  const known = sorted(values);
  if (known.length < page.fewest) return null;
  let found = null;
  let chance = 0.5 ** known.length; // of exactly `rank - 1` values below the median
  let below = 0;
  for (let rank = 1; rank <= known.length >> 1; rank += 1) {
    below += chance;
    if (1 - 2 * below < page.level) break;
    found = [known[rank - 1], known[known.length - rank]];
    chance *= (known.length - rank + 1) / rank;
  }
  return found;
}

function counts(values) {
  const found = new Map();
  for (const one of values) found.set(one, (found.get(one) ?? 0) + 1);
  const order = [...found].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return order.map(([name, count]) => `${name} ${count}`).join(", ");
}

const statistics = {
  median,
  rounded: (values) => (median(values) === null ? null : Number(median(values).toPrecision(4))),
  interval: (values) => interval(values)?.map((one) => general(one)).join(" to ") ?? null,
  counts,
  size: (values) => values.length,
  positive: (values) => values.filter((one) => one > 0).length,
  whole: (values, all) => (values.length === all ? values[0] : null),
};

/** Columns and rows of a table for the runs that are shown (null: all), and how many cannot be. */
function tableOf(table, active) {
  const there = table.rows.map((_, at) => !active || !table.keys || table.keys[at].every((one) => active.has(one)));
  const rows = table.rows.filter((_, at) => there[at]);
  if (!table.by.length) return { columns: table.columns, rows, hidden: table.rows.length - rows.length };
  const place = Object.fromEntries(table.columns.map((name, at) => [name, at]));
  const name = (row) => JSON.stringify(table.by.map((one) => row[place[one]]));
  const groups = new Map();
  const sizes = new Map();
  for (const [at, row] of table.rows.entries()) {
    const group = name(row);
    sizes.set(group, (sizes.get(group) ?? 0) + 1);
    if (there[at]) groups.set(group, [...(groups.get(group) ?? []), row]);
  }
  const numbers = Object.entries(table.numbers);
  const made = [...groups].map(([group, own]) => [
    ...table.by.map((one) => own[0][place[one]]),
    ...numbers.map(([, [how, of]]) => statistics[how](own.map((row) => row[place[of]]), sizes.get(group))),
  ]);
  const columns = [...table.by, ...Object.keys(table.numbers)];
  const kept = columns.map((_, at) => at < table.by.length || made.some((row) => row[at] !== null));
  return { columns: columns.filter((_, at) => kept[at]), rows: made.map((row) => row.filter((_, at) => kept[at])), hidden: 0 };
}

// ---------------------------------------------------------------- tables

const FIRST_ROWS = 100;

/** How many decimals show the largest of a column's numbers with four digits, or an error with two. */
function decimals(name, values) {
  const numbers = values.filter((one) => typeof one === "number");
  const largest = numbers.reduce((most, one) => Math.max(most, Math.abs(one)), 0);
  const digits = name.endsWith("error") ? 1 : 3;
  const needed = numbers.reduce((most, one) => Math.max(most, String(one).split(".")[1]?.length ?? 0), 0);
  return Math.min(Math.max(digits - Math.floor(Math.log10(largest || 1)), 0), needed, 8);
}

function written(value, digits) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  const text = value.toFixed(digits);
  return value !== 0 && Number(text) === 0 ? general(value, 3) : text;
}

/** Texts of cells for a spreadsheet, each by RFC 4180. */
function csv(columns, rows) {
  const cell = (one) => (/[",\r\n]/.test(one) ? `"${one.replaceAll('"', '""')}"` : one);
  return [columns, ...rows].map((row) => row.map((one) => cell(String(one ?? ""))).join(",")).join("\n") + "\n";
}

function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

/** Order of two cells: nothing comes last, then numbers before texts. */
function compare(one, other, sign) {
  const empty = (value) => value === null || value === undefined || value === "";
  if (empty(one) || empty(other)) return empty(one) - empty(other);
  if (typeof one === "number" && typeof other === "number") return sign * (one - other);
  if (typeof one === "number" || typeof other === "number") return typeof one === "number" ? -1 : 1;
  return sign * String(one).localeCompare(String(other), "en", { numeric: true });
}

/**
 * A table that is sorted, searched, and cut to columns; `link(column, value, row)` may give an
 * address. Of the columns those `shown` are there first (all by default). In a `mixed` table a
 * column's numbers are of different kinds. The element has a function `fill(columns, rows, note)`.
 */
function tableView({ name, title, caption, shown = null, mixed = false, link = () => null }) {
  let columns = [];
  let rows = [];
  let all = false;
  let order = null;
  const chosen = new Map();
  const search = make("input", { type: "search", "aria-label": `Search: ${title}`, placeholder: "Search", input: () => draw() });
  const choice = make("div", { class: "choices" });
  const more = make("button", { type: "button", click: () => { all = true; draw(); } });
  const count = make("span", { class: "note", role: "status" });
  const head = make("tr");
  const body = make("tbody");
  const note = make("p", { class: "note" });
  const table = make("table", { id: `table-${name}` }, make("caption", {}, caption), make("thead", {}, head), body);

  function visible() {
    return columns.map((_, at) => at).filter((at) => chosen.get(columns[at]) ?? (!shown || shown.includes(columns[at])));
  }

  function matching() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => {
      const text = words.length ? row.join(" ").toLowerCase() : "";
      return words.every((word) => text.includes(word));
    });
    const at = order ? columns.indexOf(order.column) : -1;
    const sign = order?.direction === "descending" ? -1 : 1;
    return at < 0 ? found : found.sort((one, other) => compare(one[at], other[at], sign));
  }

  function sort(column) {
    const up = order?.column === column && order.direction === "ascending";
    order = { column, direction: up ? "descending" : "ascending" };
    const others = state.getAll("sort").filter((one) => !one.startsWith(`${name}.`));
    setState("sort", [...others, `${name}.${column}.${order.direction}`]);
    draw();
    head.querySelector(`[aria-sort=${order.direction}] button`)?.focus();
  }

  function draw() {
    const found = matching();
    const places = visible();
    const digits = places.map((at) => decimals(columns[at], rows.map((row) => row[at])));
    const number = places.map((at) => rows.some((row) => typeof row[at] === "number"));
    head.replaceChildren(...places.map((at, place) => make("th", {
      scope: "col",
      class: number[place] ? "number" : false,
      "aria-sort": order?.column === columns[at] ? order.direction : "none",
    }, make("button", { type: "button", click: () => sort(columns[at]) }, columns[at]))));
    body.replaceChildren(...found.slice(0, all ? undefined : FIRST_ROWS).map((row) => make("tr", {}, places.map((at, place) => {
      const text = mixed && typeof row[at] === "number" ? general(row[at]) : written(row[at], digits[place]);
      const address = link(columns[at], row[at], row);
      const exact = typeof row[at] === "number" && text !== String(row[at]) ? String(row[at]) : false;
      const look = number[place] ? "number" : text.length > 40 ? "long" : false;
      return make("td", { class: look, title: exact }, address ? make("a", { href: address }, text) : text);
    }))));
    more.hidden = all || found.length <= FIRST_ROWS;
    more.textContent = `Show all ${found.length} rows`;
    count.textContent = `${found.length} of ${rows.length} rows`;
  }

  const kept = state.getAll("sort").find((one) => one.startsWith(`${name}.`))?.slice(name.length + 1);
  const found = /^(.*)\.(ascending|descending)$/.exec(kept ?? "");
  if (found) order = { column: found[1], direction: found[2] };
  const columnsMenu = make("details", { class: "menu" }, make("summary", {}, "Columns"), choice);
  const save = make("button", { type: "button", click: () => {
    const places = visible();
    download(`${name}.csv`, csv(places.map((at) => columns[at]), matching().map((row) => places.map((at) => row[at]))));
  } }, "CSV");
  const view = make("div", { class: "table" },
    make("div", { class: "bar" }, search, columnsMenu, save, count),
    make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": title }, table), more, note);
  view.fill = (newColumns, newRows, said = "") => {
    const renamed = newColumns.join("\n") !== columns.join("\n");
    [columns, rows] = [newColumns, newRows];
    note.textContent = said;
    note.hidden = !said;
    if (renamed) {
      const on = new Set(visible());
      choice.replaceChildren(...columns.map((one, at) => make("label", {},
        make("input", { type: "checkbox", ...(on.has(at) ? { checked: true } : {}), change: (event) => { chosen.set(one, event.target.checked); draw(); } }), ` ${one}`)));
    }
    draw();
  };
  return view;
}
