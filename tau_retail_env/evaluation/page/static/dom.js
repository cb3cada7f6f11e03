// Builds elements; every text is a text node, so that nothing a run holds is ever markup.

const SVG = "http://www.w3.org/2000/svg";
// What would change the look of the text around it unseen: control characters, and those that turn the direction.
const OBEYED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;

// A text with such characters written out.
export function printable(text) {
  return String(text)
    .replace(/\r\n/g, "\n")
    .replace(OBEYED, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

// An element; `options` are attributes, `on…` handlers among them; null children are left out.
export function element(tag, options = {}, ...children) {
  return fill(document.createElement(tag), options, children);
}

export function drawing(tag, options = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), options, children);
}

export function replace(parent, ...children) {
  parent.replaceChildren(...nodes(children));
  return parent;
}

export function button(label, action, options = {}) {
  return element("button", { type: "button", onclick: action, ...options }, label);
}

// A folded part; `fill` makes what is in it when it is first opened.
export function fold(summary, make, options = {}) {
  const inner = element("div", { class: "inside" });
  const whole = element("details", options, element("summary", {}, summary), inner);
  const open = () => {
    if (whole.open && !inner.hasChildNodes()) replace(inner, make());
  };
  whole.addEventListener("toggle", open);
  open();
  return whole;
}

export function table(heads, rows, options = {}) {
  const cell = (tag) => (value, place) => element(tag, place && isNumeric(value) ? { class: "number" } : {}, value);
  const head = heads.length
    ? element(
        "thead",
        {},
        element(
          "tr",
          {},
          ...heads.map((name, place) => element("th", { scope: "col", class: place ? "number" : "" }, name)),
        ),
      )
    : null;
  const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map(cell("td")))));
  return element("div", { class: "scroll" }, element("table", options, head, body));
}

export function select(label, value, choices, change) {
  const options = choices.map(([name, text]) =>
    element("option", { value: name, selected: name === value ? "" : null }, text),
  );
  return element(
    "label",
    { class: "choice" },
    element("span", {}, label),
    element("select", { onchange: (event) => change(event.target.value) }, ...options),
  );
}

// The text with every place of `words` marked; case aside.
export function marked(text, words) {
  const shown = printable(text);
  if (!words) return [shown];
  const low = shown.toLowerCase();
  const wanted = printable(words).toLowerCase();
  const parts = [];
  let from = 0;
  // Lowering changes the length of a few letters: then places would be wrong, and nothing is marked.
  for (let at = low.length === shown.length ? low.indexOf(wanted) : -1; at >= 0; at = low.indexOf(wanted, from)) {
    parts.push(shown.slice(from, at), element("mark", {}, shown.slice(at, at + wanted.length)));
    from = at + wanted.length;
  }
  return [...parts, shown.slice(from)];
}

function isNumeric(value) {
  return typeof value === "number" || (typeof value === "string" && /^[-+$[]?\d/.test(value));
}

function fill(made, options, children) {
  for (const [name, value] of Object.entries(options)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : printable(value));
  }
  made.append(...nodes(children));
  return made;
}

function nodes(children) {
  return children
    .flat()
    .filter((child) => child !== null && child !== undefined && child !== "")
    .map((child) => (child instanceof Node ? child : document.createTextNode(printable(child))));
}

export function counted(number, name) {
  return number === null ? null : `${number} ${name}${number === 1 ? "" : "s"}`;
}
