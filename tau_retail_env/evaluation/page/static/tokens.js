// The tokens of an episode: which the model wrote itself, and how probable each was when it was drawn.

import { button, element, replace } from "./dom.js";
import { tokensOf } from "./data.js";

const AT_ONCE = 3000;
const CLASSES = [
  [0.9, "p5"],
  [0.7, "p4"],
  [0.4, "p3"],
  [0.1, "p2"],
  [0, "p1"],
];

export async function tokenView(row) {
  const told = await tokensOf(row);
  if (!told) return element("p", { class: "quiet" }, "This episode was recorded without tokens.");
  const tokens = spelled(told);
  const own = tokens.filter((token) => token.own);
  const drawn = own.filter((token) => token.logprob !== null);
  const mean = drawn.reduce((sum, token) => sum + token.logprob, 0) / drawn.length;
  const facts = [
    `${tokens.length.toLocaleString("en")} tokens`,
    `${told.prompt.toLocaleString("en")} before the first turn`,
    `${own.length.toLocaleString("en")} the model's own (mask 1)`,
    drawn.length ? `mean log-probability ${mean.toFixed(3)}` : "no log-probabilities",
  ];
  const place = element("div", { class: "tokens" });
  const start = told.prompt > 200 ? told.prompt : 0;
  const note = element("p", { class: "readout", role: "status" }, "Point at a token, or touch it.");
  const tell = (event) => {
    const token = tokens[event.target.dataset?.place];
    if (token) replace(note, describe(token));
  };
  for (const kind of ["pointerover", "focusin", "click"]) place.addEventListener(kind, tell);
  if (start)
    place.append(
      button(
        `show the ${start.toLocaleString("en")} tokens of the prompt`,
        (event) => event.target.replaceWith(...spans(tokens, 0, start)),
        { class: "more" },
      ),
    );
  append(place, tokens, start);
  return element(
    "div",
    {},
    element("p", { class: "quiet" }, facts.join(" · ")),
    key(drawn.length > 0, told.texts),
    note,
    place,
  );
}

function spelled(told) {
  const own = told.mask.flatMap((length, place) => Array(length).fill(place % 2 === 1));
  let drawn = -1;
  return told.ids.map((id, place) => {
    if (own[place]) drawn += 1;
    return {
      place,
      id,
      own: own[place],
      logprob: own[place] ? (told.logprobs?.[drawn] ?? null) : null,
      text: told.texts?.[id] ?? null,
    };
  });
}

// More tokens at the end, and a button for those after them.
function append(parent, tokens, start) {
  const end = Math.min(start + AT_ONCE, tokens.length);
  parent.append(...spans(tokens, start, end));
  if (end < tokens.length)
    parent.append(
      button(
        `${(tokens.length - end).toLocaleString("en")} more`,
        (event) => {
          event.target.remove();
          append(parent, tokens, end);
        },
        { class: "more" },
      ),
    );
}

function spans(tokens, start, end) {
  return tokens
    .slice(start, end)
    .map((token) =>
      element(
        "span",
        { class: `token ${token.own ? `own ${likely(token)}` : ""}`, "data-place": token.place },
        token.text === null ? `${token.id} ` : token.text.replace(/\n/g, "⏎\n") || "∅",
      ),
    );
}

function likely(token) {
  if (token.logprob === null) return "";
  return CLASSES.find(([least]) => Math.exp(token.logprob) >= least)?.[1] ?? "p1";
}

function describe(token) {
  const parts = [`token ${token.place}`, `id ${token.id}`, token.own ? "mask 1: the model's own" : "mask 0: heard"];
  if (token.text !== null) parts.unshift(JSON.stringify(token.text));
  if (token.logprob !== null)
    parts.push(`log-probability ${token.logprob} (${(100 * Math.exp(token.logprob)).toFixed(1)} %)`);
  return parts.join(" · ");
}

function key(hasLogprobs, texts) {
  const shades = hasLogprobs
    ? CLASSES.map(([least, name], place) =>
        element("span", { class: `token own ${name}` }, place < CLASSES.length - 1 ? `≥ ${100 * least} %` : "less"),
      )
    : [element("span", { class: "token own" }, "the model's own")];
  return element(
    "p",
    { class: "legend" },
    ...shades,
    element("span", { class: "token" }, "heard"),
    texts ? null : element("span", { class: "quiet" }, "numbers are ids: no tokenizer was found (--tokenizer FOLDER)"),
  );
}
