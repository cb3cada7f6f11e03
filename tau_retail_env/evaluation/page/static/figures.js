// The first view: what each run came to, in tables with intervals.

import { button, element, fold, table } from "./dom.js";

const NAMES = { tool_accuracy: "Tool accuracy", response_quality: "Response quality" };

export function percent(value) {
  return value === null || value === undefined ? "–" : (100 * value).toFixed(1);
}

// "[40.1, 52.3]" in percent, within what a share can be.
export function range(ends) {
  return ends ? `[${percent(Math.max(ends[0], 0))}, ${percent(Math.min(ends[1], 1))}]` : "";
}

export function words(name) {
  return name.replace(/_/g, " ");
}

export function overview(data, show) {
  const parts = [
    data.rows.length < data.episodes ? sampleNote(data) : null,
    data.runs.length > 1 ? together(data.runs) : null,
  ];
  return element(
    "div",
    { class: "page" },
    ...parts,
    ...data.runs.map((run, number) => runCard(data, run, number, show)),
  );
}

function sampleNote(data) {
  return element(
    "p",
    { class: "note" },
    `The page holds a sample of the conversations: ${data.rows.length.toLocaleString("en")} of ${data.episodes.toLocaleString("en")}, evenly spaced. The figures are over all. tau-retail report … --live shows the whole.`,
  );
}

function together(runs) {
  const most = Math.max(1, ...runs.map((run) => passNames(run.figures, "pass^").length));
  const heads = [
    "Run",
    "Task version",
    "Tasks",
    "Episodes",
    ...Array.from({ length: most }, (_, place) => `pass^${place + 1}`),
    "Doing nothing",
  ];
  const rows = runs.map((run) => {
    const one = run.figures;
    const passes = Array.from({ length: most }, (_, place) => passCell(one?.[`pass^${place + 1}`]));
    return [
      run.name,
      one?.task_version ?? "–",
      one?.tasks ?? 0,
      one?.episodes.scored ?? 0,
      ...passes,
      percent(one?.floor),
    ];
  });
  return element("section", { class: "card" }, element("h2", {}, "All runs"), table(heads, rows));
}

function runCard(data, run, number, show) {
  const one = run.figures;
  const head = [element("h2", {}, run.name), element("p", { class: "quiet" }, run.what)];
  if (!one) {
    return element(
      "section",
      { class: "card" },
      ...head,
      element(
        "p",
        {},
        run.curves
          ? "No validation has ended yet; its curves are in the next view."
          : "No episode has been played yet.",
      ),
      settings(run),
    );
  }
  const choose = (name, value) => show({ [name]: value, run: data.runs.length > 1 ? String(number) : "" });
  return element(
    "section",
    { class: "card" },
    ...head,
    lead(one),
    element(
      "div",
      { class: "tables" },
      passTable(one),
      failures(one, data.meanings.failures, choose),
      rewards(one),
      byKind("By subset", one.by_subset, (name) => (name === "all" ? null : () => choose("subset", name))),
      byKind("By number of gold actions", one.by_gold_actions, () => null),
      quality(one),
      means(one),
    ),
    settings(run),
  );
}

function lead(one) {
  const first = one["pass^1"];
  const told = [
    [percent(first?.value), `% pass^1 ${interval(first)}`],
    [String(one.tasks), "tasks"],
    [String(one.episodes.scored), "episodes scored"],
  ];
  if (one.episodes.unscorable) told.push([String(one.episodes.unscorable), "unscorable"]);
  if (one.episodes.not_played) told.push([String(one.episodes.not_played), "not played yet"]);
  if (one.floor !== null) told.push([percent(one.floor), "% by doing nothing"]);
  return element(
    "p",
    { class: "lead" },
    ...told.map(([value, name]) => element("span", {}, element("b", {}, value), " ", name)),
  );
}

function passNames(one, start) {
  return Object.keys(one ?? {}).filter((name) => name.startsWith(start));
}

function interval(one) {
  return one ? range(one.interval) : "";
}

function passCell(one) {
  return one ? `${percent(one.value)} ${interval(one)}` : "–";
}

function passTable(one) {
  const names = [...passNames(one, "pass^"), ...passNames(one, "pass@").slice(1)];
  const rows = names.map((name) => [
    name,
    percent(one[name].value),
    bar(one[name]),
    interval(one[name]),
    range(one[name].bootstrap),
    range(one[name].miller),
  ]);
  const missing = Object.entries(one.undefined ?? {}).map(([k, why]) =>
    element("p", { class: "quiet" }, `pass^${k}, pass@${k} ${why}`),
  );
  return part("Success, percent of tasks", table(["", "value", "", "95 %", "bootstrap", "Miller"], rows), ...missing);
}

// A share and its interval as a line of the full width.
function bar(one) {
  const made = element(
    "span",
    { class: "bar", role: "img", "aria-label": `${percent(one.value)} percent` },
    element("i", { class: "band" }),
    element("i", { class: "point" }),
  );
  const [low, high] = one.interval;
  made.firstChild.style.left = `${100 * low}%`;
  made.firstChild.style.width = `${100 * (high - low)}%`;
  made.lastChild.style.left = `${100 * one.value}%`;
  return made;
}

function failures(one, meanings, choose) {
  const entries = Object.entries(one.failures).sort((first, second) => second[1] - first[1]);
  if (!entries.length) return part("Failures", element("p", { class: "quiet" }, "No episode failed."));
  const most = entries[0][1];
  const rows = entries.map(([kind, count]) => {
    const line = element("span", { class: "count", role: "presentation" });
    line.style.width = `${(100 * count) / most}%`;
    return [button(kind, () => choose("failure", kind), { class: "link", title: meanings[kind] }), count, line];
  });
  return part(
    "Why episodes failed",
    table(["", "episodes", ""], rows, { class: "wide-last" }),
    element("p", { class: "quiet" }, "An episode can have several kinds."),
  );
}

function rewards(one) {
  const rows = Object.entries(one.rewards).map(([name, told]) => [
    name,
    percent(told.value),
    bar(told),
    interval(told),
  ]);
  return rows.length ? part("Rewards", table(["", "value", "", "95 %"], rows)) : null;
}

function byKind(title, rows, action) {
  const entries = Object.entries(rows).filter(([name]) => name !== "all");
  if (!entries.length) return null;
  const line = ([name, row]) => {
    const open = action(name);
    return [
      open ? button(name, open, { class: "link" }) : name,
      row["pass^1"].tasks,
      percent(row["pass^1"].value),
      bar(row["pass^1"]),
      interval(row["pass^1"]),
    ];
  };
  return part(title, table(["", "tasks", "pass^1", "", "95 %"], entries.map(line)));
}

function quality(one) {
  const rows = Object.entries(NAMES).flatMap(([group, title]) =>
    Object.entries(one[group])
      .filter(([, value]) => value !== null)
      .map(([name, value]) => [`${title}: ${words(name)}`, percent(value)]),
  );
  return rows.length ? part("Calls and words, percent", table([], rows)) : null;
}

function means(one) {
  const rows = Object.entries(one.per_episode).map(([name, value]) => [words(name), value.toFixed(2)]);
  const costs = Object.entries(one.cost_usd).map(([who, value]) => [
    `cost of the ${who}, all episodes`,
    `$${value.toFixed(4)}`,
  ]);
  const times = Object.entries(one.seconds).map(([name, value]) => [
    `${words(name.replace(/_s$/, ""))}, seconds of all episodes`,
    value.toFixed(1),
  ]);
  return part("Mean of an episode", table([], [...rows, ...costs, ...times]));
}

function settings(run) {
  const rows = Object.entries(run.settings ?? {}).filter(([, value]) => value);
  return element(
    "div",
    {},
    rows.length ? fold("Settings", () => table([], rows)) : null,
    run.config ? fold("Configuration", () => element("pre", {}, run.config)) : null,
  );
}

function part(title, ...children) {
  return element("div", { class: "part" }, element("h3", {}, title), ...children);
}
