// The page: which view is open (the address says it), the keys, and in --live what is new.

import { button, element, replace, table } from "./dom.js";
import { isLive, openIndex, version } from "./data.js";
import { comparisons } from "./comparisons.js";
import { curves } from "./curves.js";
import { EpisodesView } from "./episodes.js";
import { overview } from "./figures.js";

const POLL_MS = 2000;
const VIEWS = [
  ["figures", "Figures", () => true],
  ["curves", "Curves", (data) => data.runs.some((run) => run.curves)],
  ["episodes", "Episodes", () => true],
  ["compare", "Compare", (data) => data.comparisons.length > 0],
];
const KEYS = [
  ["1 … 4", "the views"],
  ["j, k or ↓, ↑", "the next and the previous episode"],
  ["/", "search in all conversations"],
  ["b", "the next episode of the same task beside it"],
  ["t", "tokens"],
  ["e", "unfold or fold every call"],
  ["Esc", "back to the list; leave the search"],
  ["d", "light or dark"],
  ["?", "this list"],
];

const place = document.getElementById("main");
const status = document.getElementById("status");
const help = document.getElementById("help");
const episodes = new EpisodesView(go);
let data = null;

function chosen() {
  const [view, words] = location.hash.slice(1).split("?");
  const read = Object.fromEntries(new URLSearchParams(words ?? ""));
  return { ...read, view: VIEWS.some(([name]) => name === view) ? view : "figures" };
}

// Changes the address; what is empty is left out of it.
function go(changes) {
  const { view, ...rest } = { ...chosen(), ...changes };
  const words = new URLSearchParams(Object.entries(rest).filter(([, value]) => value));
  const address = `#${view}${words.size ? `?${words}` : ""}`;
  if (address !== location.hash) location.hash = address;
}

let shownAddress = null;

function show() {
  shownAddress = location.hash;
  const now = chosen();
  const open = VIEWS.filter(([, , has]) => has(data));
  replace(
    document.getElementById("views"),
    ...open.map(([name, title]) =>
      button(title, () => go({ view: name }), { "aria-current": name === now.view ? "page" : null }),
    ),
  );
  document.body.dataset.view = now.view;
  if (now.view === "episodes") {
    if (place.firstChild !== episodes.whole) replace(place, episodes.whole);
    return episodes.show(data, now);
  }
  const views = {
    curves: () => curves(data),
    compare: () => comparisons(data, go),
    figures: () => overview(data, (filter) => go({ view: "episodes", open: "", beside: "", q: "", ...filter })),
  };
  replace(place, views[now.view]());
  return null;
}

async function read() {
  data = await openIndex();
  document.title = `${data.runs.map((run) => run.name).join(", ")} · tau-retail report`;
  replace(status, isLive ? "live" : `${data.episodes.toLocaleString("en")} episodes`);
  await show();
  document.body.dataset.ready = String(data.episodes);
  performance.mark("ready");
}

async function poll(before) {
  let now = before;
  try {
    now = await version();
    if (now.version !== before?.version && before) await read();
    replace(
      status,
      now.problem ? `stands still: ${now.problem}` : `live · ${data.episodes.toLocaleString("en")} episodes`,
    );
  } catch (error) {
    replace(status, "the server has ended");
  }
  setTimeout(() => poll(now), POLL_MS);
}

function changeTheme() {
  const isDark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = isDark ? "light" : "dark";
}

function toggleHelp() {
  if (help.open) help.close();
  else help.showModal();
}

function foldCalls() {
  const calls = [...document.querySelectorAll("details.call")];
  const isOpen = calls.every((call) => call.open);
  for (const call of calls) call.open = !isOpen;
}

const ACTIONS = {
  j: () => episodes.move(1),
  k: () => episodes.move(-1),
  ArrowDown: () => episodes.move(1),
  ArrowUp: () => episodes.move(-1),
  "/": () => episodes.search.focus(),
  b: () => episodes.nextBeside(),
  t: () => episodes.toggleTokens(),
  e: foldCalls,
};

function pressed(event) {
  if (!data || event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (isTyping) event.target.blur();
    else if (!help.open && document.body.dataset.view === "episodes") go({ open: "", beside: "" });
    return;
  }
  if (isTyping || help.open) return;
  if (location.hash !== shownAddress) show(); // a key may come before the address's change is heard of
  const views = VIEWS.filter(([, , has]) => has(data));
  const view = views[Number(event.key) - 1];
  const inDetail = event.key.startsWith("Arrow") && episodes.detail.contains(document.activeElement);
  if (view) go({ view: view[0] });
  else if (event.key === "d") changeTheme();
  else if (event.key === "?") toggleHelp();
  else if (ACTIONS[event.key] && document.body.dataset.view === "episodes" && !inDetail) ACTIONS[event.key]();
  else return;
  event.preventDefault();
}

replace(
  help,
  element("h2", {}, "Keys"),
  table(
    [],
    KEYS.map(([keys, meaning]) => [element("kbd", {}, keys), meaning]),
  ),
  button("close", toggleHelp),
);
document.getElementById("theme").addEventListener("click", changeTheme);
document.getElementById("help-button").addEventListener("click", toggleHelp);
document.addEventListener("keydown", pressed);
addEventListener("hashchange", () => data && show());
read().then(
  () => isLive && poll(null),
  (error) =>
    replace(place, element("p", { class: "note problem" }, `The page's data cannot be read: ${error.message}`)),
);
