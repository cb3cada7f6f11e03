// The third view: filters, the list of episodes, and the one that is open, alone or beside another of its task.

import { button, element, replace, select } from "./dom.js";
import { episodeView } from "./chat.js";
import { FACETS, ORDERS, choices, holding, inOrder, passing } from "./filters.js";
import { percent } from "./figures.js";

const ROW = 60; // pixels of a row of the list
const AROUND = 8; // rows drawn beyond what is seen
const TYPING_MS = 250;

export function keyOf(row) {
  return [row.run, row.part, row.step ?? "", row.task, row.trial].join("|");
}

export class EpisodesView {
  // `go(changes)` changes the address, from which everything is read.
  constructor(go) {
    this.go = go;
    this.searches = 0;
    this.search = element("input", {
      type: "search",
      id: "search",
      placeholder: "search in all conversations  ( / )",
      "aria-label": "Search in all conversations",
      oninput: () => this.typed(),
    });
    this.facets = element("div", { class: "facets" });
    this.summary = element("p", { class: "summary", role: "status" });
    this.space = element("div", { class: "space" });
    this.list = element(
      "div",
      { class: "list", role: "listbox", tabindex: "0", "aria-label": "Episodes", onscroll: () => this.drawList() },
      this.space,
    );
    this.detail = element(
      "div",
      { class: "detail", tabindex: "-1" },
      element("p", { class: "note" }, "Choose an episode."),
    );
    const filters = element(
      "details",
      { class: "filters", open: matchMedia("(min-width: 800px)").matches ? "" : null },
      element("summary", {}, "Filters"),
      this.facets,
    );
    this.whole = element(
      "div",
      { class: "episodes" },
      element("div", { class: "side" }, this.search, filters, this.summary, this.list),
      this.detail,
    );
    new ResizeObserver(() => this.drawList()).observe(this.list);
  }

  // Shows what the address says of the data.
  async show(data, chosen) {
    const isNew = this.data !== data;
    const before = this.chosen ?? {};
    [this.data, this.chosen] = [data, chosen];
    if (document.activeElement !== this.search) this.search.value = chosen.q ?? "";
    const focused = [...this.facets.querySelectorAll("select")].indexOf(document.activeElement);
    replace(this.facets, ...this.facetChoices());
    this.facets.querySelectorAll("select")[focused]?.focus();
    const kept = [...FACETS.map(([name]) => name), "q", "order"].every(
      (name) => (before[name] ?? "") === (chosen[name] ?? ""),
    );
    if (!kept || !this.shown) this.list.scrollTop = 0;
    if (isNew || !kept || !this.shown) await (this.filtering = this.filter());
    // What is open stays as it is, unfolded calls and all, while a run goes on.
    const opened = JSON.stringify([
      chosen.open,
      chosen.beside,
      chosen.q,
      this.find(chosen.open)?.at,
      this.find(chosen.beside)?.at,
    ]);
    if (opened !== this.opened) await this.open();
    this.opened = opened;
    this.drawList();
  }

  // Opens the next or the previous episode of the list.
  async move(by) {
    await this.filtering; // else a key right after a choice opens what the choice leaves out
    if (!this.shown?.length) return;
    const at = this.shown.findIndex((row) => keyOf(row) === this.chosen.open);
    const next = Math.min(Math.max(at + by, 0), this.shown.length - 1);
    this.go({ open: keyOf(this.shown[next]), beside: "" });
  }

  toggleTokens() {
    for (const part of this.detail.querySelectorAll('[data-part="tokens"]')) {
      part.open = !part.open;
      if (part.open) part.scrollIntoView({ block: "start" });
    }
  }

  // Sets the next other episode of the same task beside the open one.
  nextBeside() {
    const row = this.find(this.chosen.open);
    if (!row) return;
    const others = this.others(row);
    const at = others.findIndex((other) => keyOf(other) === this.chosen.beside);
    this.go({ beside: others[at + 1] ? keyOf(others[at + 1]) : "" });
  }

  facetChoices() {
    const { rows } = this.data;
    const made = choices(rows, this.chosen).map(([name, label, values]) =>
      select(
        label,
        this.chosen[name] ?? "",
        [
          ["", "all"],
          ...values.map(([value, count]) => [
            value,
            `${name === "run" ? this.data.runs[value].label : value} (${count.toLocaleString("en")})`,
          ]),
        ],
        (value) => this.go({ [name]: value }),
      ),
    );
    const order = select(
      "Order",
      this.chosen.order ?? "played",
      Object.entries(ORDERS).map(([name, [label]]) => [name, label]),
      (value) => this.go({ order: value === "played" ? "" : value }),
    );
    const isNarrowed = FACETS.some(([name]) => this.chosen[name]) || this.chosen.q;
    const clear = isNarrowed ? button("show all", () => this.clear(), { class: "link" }) : null;
    return [...made, order, clear];
  }

  clear() {
    this.search.value = "";
    this.go({ ...Object.fromEntries(FACETS.map(([name]) => [name, ""])), q: "" });
  }

  typed() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.go({ q: this.search.value.trim() }), TYPING_MS);
  }

  async filter() {
    const number = (this.searches += 1);
    const rows = inOrder(passing(this.data.rows, this.chosen), this.chosen.order);
    const { q } = this.chosen;
    if (q) {
      const progress = (done, found) =>
        replace(
          this.summary,
          `searched ${done.toLocaleString("en")} of ${rows.length.toLocaleString("en")}, found ${found.toLocaleString("en")} …`,
        );
      const found = await holding(rows, q, this.data.texts, progress, () => number !== this.searches);
      if (!found) return;
      this.shown = found;
    } else {
      this.shown = rows;
    }
    replace(this.summary, summaryOf(this.shown, this.data.rows.length));
  }

  drawList() {
    if (!this.shown) return;
    const { scrollTop, clientHeight } = this.list;
    const first = Math.max(Math.floor(scrollTop / ROW) - AROUND, 0);
    const rows = this.shown.slice(first, Math.ceil((scrollTop + clientHeight) / ROW) + AROUND);
    this.space.style.height = `${this.shown.length * ROW}px`;
    replace(this.space, ...rows.map((row, place) => this.listed(row, first + place)));
    const open = this.shown.findIndex((row) => keyOf(row) === this.chosen.open);
    this.list.setAttribute("aria-activedescendant", open >= 0 ? `row-${open}` : "");
  }

  listed(row, place) {
    const key = keyOf(row);
    const came = row.outcome === "success" ? `${row.turns ?? "?"} turns` : row.failures.join(", ") || row.stop;
    const run = this.data.runs.length > 1 ? this.data.runs[row.run].label : null;
    const about = [run, row.step === null ? null : `${row.part} ${row.step}`, came].filter(Boolean).join(" · ");
    const made = element(
      "div",
      {
        class: `row ${row.outcome}`,
        role: "option",
        id: `row-${place}`,
        "aria-selected": String(key === this.chosen.open),
        title: row.outcome,
        onclick: () => this.go({ open: key, beside: "" }),
      },
      element("span", { class: "dot", "aria-hidden": "true" }),
      element("span", { class: "what" }, element("b", {}, row.task), element("small", {}, `trial ${row.trial}`)),
      element("span", { class: "about" }, about),
    );
    made.style.top = `${place * ROW}px`;
    return made;
  }

  scrollTo(place) {
    const { scrollTop, clientHeight } = this.list;
    if (place * ROW < scrollTop) this.list.scrollTop = place * ROW;
    else if ((place + 1) * ROW > scrollTop + clientHeight) this.list.scrollTop = (place + 1) * ROW - clientHeight;
  }

  find(key) {
    return key ? this.data.rows.find((row) => keyOf(row) === key) : undefined;
  }

  others(row) {
    return this.data.rows.filter((other) => other.task === row.task && other !== row);
  }

  async open() {
    const row = this.find(this.chosen.open);
    const other = row && this.find(this.chosen.beside);
    this.whole.classList.toggle("opened", Boolean(row));
    this.whole.classList.toggle("paired", Boolean(other));
    if (!row) {
      replace(
        this.detail,
        element(
          "p",
          { class: "note" },
          this.chosen.open
            ? "That episode is not on this page."
            : "Choose an episode. Keys: j and k, / to search, ? for all.",
        ),
      );
      return;
    }
    const { q } = this.chosen;
    const views = await Promise.all([row, other].filter(Boolean).map((one) => episodeView(one, this.data, q)));
    if (this.find(this.chosen.open) !== row) return;
    if (this.shown?.includes(row)) this.scrollTo(this.shown.indexOf(row));
    replace(this.detail, this.tools(row), element("div", { class: other ? "pair" : "alone" }, ...views));
    this.detail.scrollTop = 0;
    this.detail.querySelector(".chat mark")?.scrollIntoView({ block: "center" });
  }

  tools(row) {
    const others = this.others(row);
    const name = (other) =>
      [
        this.data.runs.length > 1 ? this.data.runs[other.run].label : null,
        other.step === null ? null : `${other.part} ${other.step}`,
        `trial ${other.trial}: ${other.outcome}`,
      ]
        .filter(Boolean)
        .join(" · ");
    const beside = others.length
      ? select(
          "Beside it",
          this.chosen.beside ?? "",
          [["", "nothing"], ...others.map((other) => [keyOf(other), name(other)])],
          (value) => this.go({ beside: value }),
        )
      : null;
    const at = this.shown ? this.shown.indexOf(row) : -1;
    const place =
      at >= 0
        ? element(
            "span",
            { class: "quiet" },
            `${(at + 1).toLocaleString("en")} of ${this.shown.length.toLocaleString("en")}`,
          )
        : null;
    return element(
      "div",
      { class: "tools" },
      button("← list", () => this.go({ open: "", beside: "" }), { class: "back" }),
      button("‹", () => this.move(-1), { "aria-label": "Previous", title: "Previous (k)" }),
      button("›", () => this.move(1), { "aria-label": "Next", title: "Next (j)" }),
      place,
      beside,
    );
  }
}

function summaryOf(rows, all) {
  const scored = rows.filter((row) => row.outcome !== "unscorable");
  const solved = scored.filter((row) => row.outcome === "success").length;
  const count =
    rows.length === all
      ? `${all.toLocaleString("en")} episodes`
      : `${rows.length.toLocaleString("en")} of ${all.toLocaleString("en")} episodes`;
  return scored.length ? `${count}, ${percent(solved / scored.length)} % solved` : count;
}
