// Which episodes are listed: by what their rows say, and by the words of their conversations.

import { conversation } from "./data.js";

// What can be filtered by: name in the address, title, and the values of a row.
export const FACETS = [
  ["outcome", "Outcome", (row) => [row.outcome]],
  ["failure", "Failure", (row) => row.failures],
  ["subset", "Subset", (row) => row.subsets],
  ["run", "Run", (row) => [String(row.run)]],
  ["part", "Played for", (row) => [row.part]],
  ["step", "Step", (row) => (row.step === null ? [] : [String(row.step)])],
  ["strategy", "Customer", (row) => [row.strategy]],
  ["version", "Task version", (row) => [row.version]],
  ["stop", "End", (row) => [row.stop]],
];

export const ORDERS = {
  played: ["as played", null],
  task: ["task", (one, two) => naturally(one.task, two.task) || one.run - two.run || one.trial - two.trial],
  turns: ["most turns", (one, two) => (two.turns ?? 0) - (one.turns ?? 0)],
  errors: ["most errors", (one, two) => (two.errors ?? 0) - (one.errors ?? 0)],
  tokens: ["most tokens", (one, two) => (two.tokens ?? 0) - (one.tokens ?? 0)],
};

const { compare: naturally } = new Intl.Collator("en", { numeric: true });

// The rows that pass every filter but `except`.
export function passing(rows, chosen, except = null) {
  const active = FACETS.filter(([name]) => chosen[name] && name !== except);
  return rows.filter((row) => active.every(([name, , read]) => read(row).includes(chosen[name])));
}

export function inOrder(rows, order) {
  const compare = ORDERS[order]?.[1];
  return compare ? [...rows].sort(compare) : rows;
}

// By facet, its values with how many episodes each has beside the other filters; facets of one value are left out.
export function choices(rows, chosen) {
  return FACETS.map(([name, title, read]) => {
    const counts = new Map();
    for (const row of rows) for (const value of read(row)) counts.set(value, 0);
    for (const row of passing(rows, chosen, name))
      for (const value of read(row)) counts.set(value, counts.get(value) + 1);
    return [name, title, [...counts].sort((one, two) => naturally(one[0], two[0]))];
  }).filter(([name, , values]) => values.length > 1 || chosen[name]);
}

// The rows whose conversation, task or id holds the words; calls `progress` now and then, and stops once `isOver()`.
export async function holding(rows, words, texts, progress, isOver) {
  const wanted = words.toLowerCase();
  const isIn = (text) => text.toLowerCase().includes(wanted);
  const systemsWith = new Set(texts.flatMap((text, place) => (isIn(text) ? [place] : [])));
  const found = new Set();
  let last = performance.now();
  // In the order in which they lie, so that each parcel is unpacked once.
  const lying = [...rows].sort((one, two) => one.at[0] - two.at[0] || one.at[1] - two.at[1]);
  for (const [done, row] of lying.entries()) {
    const one = await conversation(row);
    if (isOver()) return null;
    if (
      isIn(row.task) ||
      one.messages.some((message) => says(message, isIn, systemsWith)) ||
      (one.task && isIn(one.task.instruction))
    )
      found.add(row);
    if (performance.now() - last > 100) {
      progress(done + 1, found.size);
      await new Promise((resolve) => setTimeout(resolve));
      if (isOver()) return null;
      last = performance.now();
    }
  }
  return rows.filter((row) => found.has(row));
}

function says(message, isIn, systemsWith) {
  if (typeof message.text === "number") return systemsWith.has(message.text);
  return (
    isIn(message.text) ||
    (message.raw && isIn(message.raw)) ||
    (message.calls ?? []).some(([name, given]) => isIn(name) || isIn(given))
  );
}
