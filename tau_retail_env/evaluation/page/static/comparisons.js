// The fourth view: two sides on the same tasks, the difference with its intervals, and the tasks that flipped.

import { button, counted, element, table } from "./dom.js";
import { percent } from "./figures.js";
import { keyOf } from "./episodes.js";

export function comparisons(data, go) {
  return element("div", { class: "page" }, ...data.comparisons.map((one) => comparisonCard(one, data, go)));
}

function comparisonCard(one, data, go) {
  const names = element("h2", {}, `${one.second.name} beside ${one.first.name}`);
  if (one.refused) return element("section", { class: "card" }, names, element("p", { class: "problem" }, one.refused));
  const why = one.bootstrap ? "every method leaves out 0" : "on every task";
  const verdict = one.is_shown
    ? `${one.difference > 0 ? one.second.name : one.first.name} is better: ${why}.`
    : "No difference shown.";
  const rows = [
    [`pass^1 of ${one.first.name}`, percent(one.first["pass^1"]), ""],
    [`pass^1 of ${one.second.name}`, percent(one.second["pass^1"]), ""],
    ["difference in points", signed(one.difference), intervals(one)],
    one.mcnemar_p === null ? null : ["McNemar's exact test", `p = ${one.mcnemar_p.toPrecision(3)}`, ""],
    one.detectable === null
      ? null
      : ["a difference that such trials show in 80 of 100 comparisons", percent(one.detectable), ""],
  ].filter(Boolean);
  const left = [
    [one.only_first, one.first.name],
    [one.only_second, one.second.name],
  ]
    .filter(([count]) => count)
    .map(([count, name]) =>
      element("p", { class: "quiet" }, `Left out, since only ${name} has scored them: ${counted(count, "task")}.`),
    );
  const flips = one.flipped.map((flip) => [
    button(flip.task, () => go({ view: "episodes", ...pair(one, flip, data) }), {
      class: "link",
      title: "both conversations side by side",
    }),
    percent(flip.first),
    percent(flip.second),
    flip.episodes.join("; "),
  ]);
  return element(
    "section",
    { class: "card" },
    names,
    element("p", { class: "lead" }, element("b", {}, verdict)),
    element("p", { class: "quiet" }, `on the same ${counted(one.tasks, "task")}`),
    alike(one),
    table(["", "percent", "95 %"], rows),
    ...left,
    flips.length ? element("h3", {}, `${counted(flips.length, "task")} flipped`) : element("p", {}, "No task flipped."),
    flips.length ? table(["task", "A", "B", "which trials failed"], flips, { class: "flips" }) : null,
    element("p", { class: "quiet" }, `A is ${one.first.name}, B is ${one.second.name}.`),
  );
}

// How B was played otherwise than A, where both tell it.
function alike(one) {
  const word = (value) => (value === null ? "not set" : JSON.stringify(value));
  const differences = Object.entries(one.played_otherwise).map(
    ([name, [first, second]]) => `${name} (${word(first)} in A, ${word(second)} in B)`,
  );
  return differences.length ? element("p", { class: "problem" }, `Not played alike: ${differences.join(", ")}.`) : null;
}

function signed(value) {
  return `${value > 0 ? "+" : ""}${(100 * value).toFixed(1)}`;
}

function intervals(one) {
  const told = [
    ["", one.bootstrap],
    ["Miller ", one.miller],
  ]
    .filter(([, ends]) => ends)
    .map(([name, [low, high]]) => `${name}[${signed(low)}, ${signed(high)}]`);
  return told.join("  ") || "none: every task changed by the same amount";
}

// A failed and a solved episode of a task that flipped, as the address names them.
function pair(one, flip, data) {
  const isSuccess = (rate, other) => (rate > other ? "success" : "failure");
  const open = pick(one.first.name, flip.task, isSuccess(flip.first, flip.second), data);
  const beside = pick(one.second.name, flip.task, isSuccess(flip.second, flip.first), data);
  return { open: open ? keyOf(open) : "", beside: beside ? keyOf(beside) : "" };
}

function pick(name, task, outcome, data) {
  const run = data.runs.findIndex((one) => name === one.name || name.startsWith(`${one.name}@`));
  const step = data.runs[run]?.name === name ? null : Number(name.slice(name.lastIndexOf("@") + 1));
  const rows = data.rows.filter(
    (row) => row.run === run && row.task === task && (step === null || (row.part === "val" && row.step === step)),
  );
  return rows.find((row) => row.outcome === outcome) ?? rows[0];
}
