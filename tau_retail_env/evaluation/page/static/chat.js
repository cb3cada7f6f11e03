// One episode: its conversation with calls folded, its changes beside gold's, its numbers and tokens.

import { button, counted, element, fold, marked, printable, replace, table } from "./dom.js";
import { conversation } from "./data.js";
import { tokenView } from "./tokens.js";
import { words } from "./figures.js";

const LONG = 2500; // characters of a text that are shown at once
const WHO = { assistant: "agent", user: "customer", tool: "shop", system: "system" };

function title(row) {
  return `${row.task} · trial ${row.trial}${row.step === null ? "" : ` · ${row.part} ${row.step}`}`;
}

function badge(row) {
  return element("span", { class: `badge ${row.outcome}` }, row.outcome);
}

// The whole view of an episode; `search` is what was searched for.
export async function episodeView(row, data, search) {
  const one = await conversation(row);
  const part = (name, make, options) => fold(name, make, { class: "fold", ...options });
  const view = element(
    "article",
    { class: "episode", "aria-label": title(row) },
    header(row, one, data),
    one.task ? part("Task and gold actions", () => task(one, search)) : null,
    chat(one, data, search),
    one.changes?.length
      ? part(`Database: ${verdictOf(one)}`, () => changes(one), { open: row.outcome === "failure" })
      : null,
    part("Numbers", () => numbers(one)),
  );
  if (row.tokens_at)
    view.append(
      part(`Tokens (${row.tokens.toLocaleString("en")})`, () => later(tokenView(row)), { "data-part": "tokens" }),
    );
  return view;
}

function header(row, one, data) {
  const run = data.runs.length > 1 ? data.runs[row.run].label : null;
  const facts = [
    run,
    `customer ${row.strategy}`,
    `tasks ${row.version}`,
    `seed ${row.seed}`,
    `ended by ${words(row.stop)}`,
    counted(row.turns, "turn"),
    counted(row.calls, "call"),
    counted(row.errors || null, "error"),
  ];
  const rewards = [
    ["official", one.breakdown.official ?? row.reward],
    ["corrected", row.corrected],
    ["process", row.process],
  ]
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name} ${value}`);
  const chips = row.failures.map((kind) =>
    element("span", { class: "chip", title: data.meanings.failures[kind] }, kind),
  );
  const fault = one.fault ? element("p", { class: "quiet" }, `Whose fault: ${one.fault[0]} (${one.fault[1]})`) : null;
  return element(
    "header",
    {},
    element("div", { class: "line" }, element("h2", {}, title(row)), badge(row), ...chips),
    element("p", { class: "quiet" }, facts.filter(Boolean).join(" · ")),
    element("p", { class: "quiet" }, `rewards: ${rewards.join(", ")}`),
    fault,
    one.customer_error ? element("p", { class: "problem" }, `The customer failed: ${one.customer_error}`) : null,
  );
}

function task(one, search) {
  const { instruction, actions, outputs, assertions } = one.task;
  const made = new Set(one.messages.flatMap((message) => message.calls ?? []).map(callKey));
  const gold = actions.map((call) =>
    element(
      "li",
      { class: made.has(callKey(call)) ? "made" : "missed" },
      element("code", {}, callText(call)),
      made.has(callKey(call)) ? " made" : " not made",
    ),
  );
  const list = (name, texts) =>
    texts.length ? [element("h4", {}, name), element("ul", {}, ...texts.map((text) => element("li", {}, text)))] : [];
  return element(
    "div",
    {},
    element("p", { class: "words" }, ...marked(instruction, search)),
    element("h4", {}, "Gold actions"),
    gold.length ? element("ol", {}, ...gold) : element("p", { class: "quiet" }, "none"),
    ...list("To be told", outputs),
    ...list("Assertions", assertions),
  );
}

function chat(one, data, search) {
  const gold = new Set((one.task?.actions ?? []).map(callKey));
  const parts = [];
  let speaker = null;
  for (let place = 0; place < one.messages.length; place += 1) {
    const message = one.messages[place];
    const results = [];
    if (message.calls)
      while (results.length < message.calls.length && one.messages[place + 1]?.role === "tool")
        results.push(one.messages[(place += 1)]);
    parts.push(bubble(message, results, message.role === speaker, { gold, data, search }));
    speaker = message.role;
  }
  return element("div", { class: "chat" }, ...parts);
}

// A message with its calls; who speaks stands at the first of several.
function bubble(message, results, goesOn, { gold, data, search }) {
  if (message.role === "system") {
    const text = typeof message.text === "number" ? data.texts[message.text] : message.text;
    return fold(`System prompt, ${text.length.toLocaleString("en")} characters`, () => longText(text, search), {
      class: "fold system",
    });
  }
  const calls = (message.calls ?? []).map((call, place) => callFold(call, results[place], gold, search));
  const text = message.text ? longText(message.text, search) : null;
  const raw = message.raw
    ? fold("as it was written", () => element("pre", {}, ...marked(message.raw, search)), { class: "raw" })
    : null;
  const problem = message.malformed
    ? element("p", { class: "problem" }, `could not be parsed: ${message.malformed}`)
    : null;
  return element(
    "div",
    { class: `message ${message.role} ${message.error ? "error" : ""} ${goesOn ? "same" : ""}` },
    goesOn ? null : element("span", { class: "who" }, WHO[message.role]),
    text,
    problem,
    ...calls,
    raw,
  );
}

function callFold(call, result, gold, search) {
  const failed = result?.error;
  const hit =
    search &&
    [call[0], call[1], result?.text ?? ""].some((text) =>
      printable(text).toLowerCase().includes(printable(search).toLowerCase()),
    );
  const mark = element("span", { class: failed ? "bad" : "good" }, result ? (failed ? "error" : "ok") : "not run");
  const head = element(
    "span",
    {},
    element("code", {}, ...marked(callText(call), search)),
    " ",
    mark,
    gold.has(callKey(call))
      ? element("span", { class: "gold", title: "one of the gold actions, with these arguments" }, "gold")
      : null,
  );
  const inside = () => [
    element("pre", {}, ...marked(pretty(call[1]), search)),
    result ? longText(pretty(result.text), search, "pre") : null,
  ];
  return fold(head, () => element("div", {}, ...inside()), {
    class: `call ${failed ? "failed" : ""}`,
    open: hit ? "" : null,
  });
}

// A text of which a long one is cut, with a button for the rest.
function longText(text, search, tag = "p") {
  if (text.length <= LONG) return element(tag, { class: "words", dir: "auto" }, ...marked(text, search));
  const whole = element(
    tag,
    { class: "words", dir: "auto" },
    ...marked(text.slice(0, LONG), search),
    "… ",
    button(`all ${text.length.toLocaleString("en")} characters`, () => replace(whole, ...marked(text, search)), {
      class: "more",
    }),
  );
  return whole;
}

function verdictOf(one) {
  const rows = one.changes.flatMap((entry) => entry.fields);
  const different = rows.filter(([, , made, gold]) => !same(made, gold)).length;
  return different
    ? `${different} of ${rows.length} changed fields differ from gold`
    : `all ${rows.length} changed fields as gold`;
}

function changes(one) {
  const parts = one.changes.map((entry) => {
    const rows = entry.fields.map(([path, before, made, gold]) => [
      element("code", {}, path),
      value(before),
      value(made),
      value(gold),
      element("span", { class: same(made, gold) ? "good" : "bad" }, same(made, gold) ? "as gold" : "differs"),
    ]);
    return element(
      "div",
      {},
      element("h4", {}, entry.entry),
      table(["field", "before", "after this episode", "after the gold actions", ""], rows, { class: "changes" }),
    );
  });
  return element("div", {}, ...parts);
}

function value(one) {
  return one === null ? element("span", { class: "quiet" }, "nothing") : JSON.stringify(one);
}

function numbers(one) {
  const listed = (name, found) => {
    const rows = Object.entries(found).map(([key, number]) => [
      words(key),
      typeof number === "number" ? Number(number.toFixed(4)) : "–",
    ]);
    return rows.length ? element("div", { class: "part" }, element("h4", {}, name), table([], rows)) : null;
  };
  const usage = {};
  for (const message of one.usage)
    for (const [name, number] of Object.entries(message)) usage[name] = (usage[name] ?? 0) + (number ?? 0);
  return element(
    "div",
    { class: "tables" },
    listed("Reward", one.breakdown),
    listed("Metrics", one.metrics),
    listed("Seconds", one.timings),
    listed("The customer's messages, added up", usage),
  );
}

function callText([name, given]) {
  try {
    const found = JSON.parse(given);
    return `${name}(${Object.entries(found)
      .map(([key, one]) => `${key}=${JSON.stringify(one)}`)
      .join(", ")})`;
  } catch {
    return `${name}(${given})`;
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function callKey([name, given]) {
  try {
    return JSON.stringify([name, sorted(JSON.parse(given))]);
  } catch {
    return JSON.stringify([name, given]);
  }
}

function sorted(one) {
  if (Array.isArray(one)) return one.map(sorted);
  if (one === null || typeof one !== "object") return one;
  return Object.keys(one)
    .sort()
    .map((key) => [key, sorted(one[key])]);
}

function same(one, two) {
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(two));
}

function later(promise) {
  const place = element("div", {}, element("p", { class: "quiet" }, "Reading …"));
  promise.then(
    (made) => replace(place, made),
    (error) => replace(place, element("p", { class: "problem" }, error.message)),
  );
  return place;
}
