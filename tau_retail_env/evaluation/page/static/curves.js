// The second view: a training run's metrics over its steps, with bands.

import { drawing, element, replace } from "./dom.js";

const WIDTH = 460;
const HEIGHT = 220;
const EDGE = { left: 52, right: 10, top: 10, bottom: 26 };
const COLOURS = 6;
const MOST_PANELS = 24;
// Success by part of a run: the episodes' own, or where they are not here the metric that tells it.
const SCORES = [
  ["val", "held-out success", "val/score/mean"],
  ["train", "success while training", "rollout/score/mean"],
];
const state = { words: "", together: false }; // what was chosen stays while a run goes on

export function curves(data) {
  const runs = data.runs.map((run, number) => ({ ...run, number })).filter((run) => run.curves);
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.curves)))].sort();
  const panels = element("div", { class: "panels" });
  const draw = () => replace(panels, ...drawn(runs, names, data.panels));
  const search = element("input", {
    type: "search",
    placeholder: `find among ${names.length} metrics`,
    value: state.words,
    "aria-label": "Find metrics",
    oninput: (event) => {
      state.words = event.target.value.trim().toLowerCase();
      draw();
    },
  });
  const merge = element("input", {
    type: "checkbox",
    checked: state.together,
    onchange: (event) => {
      state.together = event.target.checked;
      draw();
    },
  });
  const options = element(
    "div",
    { class: "options" },
    search,
    runs.length > 1 ? element("label", {}, merge, " all runs as one: mean and range") : null,
  );
  draw();
  return element("div", { class: "page" }, options, runs.length > 1 ? legend(runs) : null, panels);
}

function legend(runs) {
  return element(
    "p",
    { class: "legend" },
    ...runs.map((run, place) => element("span", { class: `key c${place % COLOURS}` }, run.label)),
  );
}

function drawn(runs, names, panels) {
  if (state.words) {
    const found = names.filter((name) => state.words.split(/\s+/).every((word) => name.toLowerCase().includes(word)));
    const more =
      found.length > MOST_PANELS
        ? element("p", { class: "quiet" }, `${found.length - MOST_PANELS} more: go on typing`)
        : null;
    return [
      ...found.slice(0, MOST_PANELS).map((name) => panel(name, lines(runs, [name]))),
      more,
      found.length ? null : element("p", {}, "No metric has these words."),
    ];
  }
  const scores = panel("success, with 95 % intervals over tasks where the episodes are here", scoreLines(runs));
  return [
    scores,
    ...panels
      .filter(([title]) => title !== "score")
      .map(([title, metrics]) =>
        panel(
          title,
          lines(
            runs,
            metrics.filter((name) => names.includes(name)),
          ),
        ),
      ),
  ];
}

function scoreLines(runs) {
  const found = SCORES.flatMap(([part, name, metric], dash) =>
    runs.map((run) => {
      const told = (run.points?.[part] ?? []).map(([step, value, low, high, episodes]) => ({
        x: step,
        y: value,
        low,
        high,
        about: `${episodes} episodes`,
      }));
      const [steps, values] = run.curves[metric] ?? [[], []];
      const points = told.length ? told : steps.map((step, at) => ({ x: step, y: values[at], low: null, high: null }));
      return {
        name,
        run: run.label,
        colour: runs.length > 1 ? run.number : dash,
        dash: runs.length > 1 ? dash : 0,
        points,
      };
    }),
  );
  return state.together ? merged(found) : found;
}

// The lines of some metrics; the band of a mean goes from the least to the greatest where the run tells them.
function lines(runs, metrics) {
  const found = metrics.flatMap((name, place) =>
    runs
      .filter((run) => run.curves[name])
      .map((run) => {
        const [steps, values] = run.curves[name];
        const [least, most] = ["min", "max"].map((end) =>
          name.endsWith("/mean") ? run.curves[name.replace(/mean$/, end)] : null,
        );
        const has =
          least &&
          most &&
          least[0].length === steps.length &&
          most[0].length === steps.length &&
          !name.includes("score");
        const points = steps.map((step, at) => ({
          x: step,
          y: values[at],
          low: has ? least[1][at] : null,
          high: has ? most[1][at] : null,
        }));
        return {
          name,
          run: run.label,
          colour: runs.length > 1 ? run.number : place,
          dash: runs.length > 1 ? place : 0,
          points,
        };
      }),
  );
  return state.together ? merged(found) : found;
}

// Over runs, the mean of each line at each step that several have, and its range.
function merged(found) {
  const names = [...new Set(found.map((line) => line.name))];
  return names.map((name, place) => {
    const same = found.filter((line) => line.name === name);
    const at = new Map();
    for (const line of same) for (const point of line.points) at.set(point.x, [...(at.get(point.x) ?? []), point.y]);
    const points = [...at]
      .filter(([, values]) => values.length > 1)
      .sort((one, two) => one[0] - two[0])
      .map(([x, values]) => ({
        x,
        y: values.reduce((sum, value) => sum + value, 0) / values.length,
        low: Math.min(...values),
        high: Math.max(...values),
        about: `${values.length} runs`,
      }));
    return { name, run: `${same.length} runs`, colour: place, dash: 0, points };
  });
}

function panel(title, found) {
  const shown = found.filter((line) => line.points.length);
  if (!shown.length) return null;
  const several = new Set(shown.map((line) => line.run)).size > 1;
  const told = element("p", { class: "readout" });
  const key = (line, text) =>
    element("span", { class: `key c${several ? "quiet" : line.colour % COLOURS} d${line.dash % 3}` }, text);
  // The colours of several runs stand once, above all panels.
  const names = () =>
    replace(told, ...[...new Map(shown.map((line) => [line.name, line])).values()].map((line) => key(line, line.name)));
  names();
  return element(
    "figure",
    { class: "panel" },
    element("figcaption", {}, title),
    chart(shown, title, told, names),
    told,
  );
}

function chart(found, title, told, names) {
  const points = found.flatMap((line) => line.points);
  const [left, right] = extent(
    points.map((point) => point.x),
    0,
  );
  const [bottom, top] = extent(
    points.flatMap((point) => [point.y, point.low ?? point.y, point.high ?? point.y]),
    0.05,
  );
  const x = (value) => EDGE.left + ((value - left) / (right - left)) * (WIDTH - EDGE.left - EDGE.right);
  const y = (value) => HEIGHT - EDGE.bottom - ((value - bottom) / (top - bottom)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const cursor = drawing("line", { class: "cursor", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
  const whole = drawing(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title },
    ...grid(x, y, [left, right], [bottom, top]),
    ...found.flatMap((line) => trace(line, x, y)),
    cursor,
  );
  const steps = [...new Set(points.map((point) => point.x))].sort((one, two) => one - two);
  whole.addEventListener("pointermove", (event) => {
    const box = whole.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH;
    const step = steps.reduce((best, one) => (Math.abs(x(one) - at) < Math.abs(x(best) - at) ? one : best));
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x(step));
    cursor.setAttribute("visibility", "visible");
    replace(told, element("span", {}, `step ${step}`), ...found.map((line) => reading(line, step, found)));
  });
  whole.addEventListener("pointerleave", () => {
    cursor.setAttribute("visibility", "hidden");
    names();
  });
  return whole;
}

function reading(line, step, found) {
  const point = line.points.find((one) => one.x === step);
  if (!point) return null;
  const band = point.low === null || point.low === undefined ? "" : ` [${short(point.low)}, ${short(point.high)}]`;
  const who = found.some((other) => other.run !== line.run) ? ` · ${line.run}` : "";
  return element(
    "span",
    { class: `key c${line.colour % COLOURS} d${line.dash % 3}` },
    `${line.name}${who}: ${short(point.y)}${band}${point.about ? `, ${point.about}` : ""}`,
  );
}

function trace(line, x, y) {
  const style = `c${line.colour % COLOURS} d${line.dash % 3}`;
  const banded = line.points.filter((point) => point.low !== null && point.low !== undefined);
  const edge = [
    ...banded.map((point) => [point.x, point.high]),
    ...banded.reverse().map((point) => [point.x, point.low]),
  ];
  const band = edge.length > 2 ? drawing("path", { class: `band ${style}`, d: path(edge, x, y) }) : null;
  const alone = banded.length === 1 ? drawing("path", { class: `line ${style}`, d: path(edge, x, y) }) : null;
  const dots =
    line.points.length < 30
      ? line.points.map((point) => drawing("circle", { class: `dot ${style}`, cx: x(point.x), cy: y(point.y), r: 2.2 }))
      : [];
  return [
    band,
    alone,
    drawing("path", {
      class: `line ${style}`,
      d: path(
        line.points.map((point) => [point.x, point.y]),
        x,
        y,
      ),
    }),
    ...dots,
  ];
}

function path(points, x, y) {
  return points.map(([at, value], place) => `${place ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}

function grid(x, y, [left, right], [bottom, top]) {
  const rows = ticks(bottom, top, 4).flatMap((value) => [
    drawing("line", { class: "grid", x1: EDGE.left, x2: WIDTH - EDGE.right, y1: y(value), y2: y(value) }),
    drawing("text", { class: "tick", x: EDGE.left - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)),
  ]);
  const columns = ticks(left, right, 6)
    .filter(Number.isInteger)
    .map((value) =>
      drawing("text", { class: "tick", x: x(value), y: HEIGHT - 8, "text-anchor": "middle" }, String(value)),
    );
  return [...rows, ...columns];
}

function ticks(low, high, about) {
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= raw);
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, place) =>
    Number(((first + place) * step).toPrecision(12)),
  );
}

function extent(values, margin) {
  const [low, high] = values.reduce(
    ([least, most], value) => [Math.min(least, value), Math.max(most, value)],
    [Infinity, -Infinity],
  );
  const room = low === high ? Math.abs(low) * 0.1 || 0.5 : (high - low) * margin;
  return [low - room, high + room];
}

function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(size >= 1000 ? 5 : 3)));
}
