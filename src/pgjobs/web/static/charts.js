// Draws the charts of a page. Their values are also in a table, which needs no script.
"use strict";

const CHART_EVERY = 30;  // seconds
const drawn = new Map();  // from figures to their charts
const wide = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "short", hourCycle: "h23" });

// What a kind of chart shows: of each series, or of the first one alone; [name, label, colour, dashed].
const KINDS = {
  latency: { each: true, unit: "seconds", lines: [["latency", "", null, false], ["sla", "SLA", null, true]] },
  rates: { unit: "rate", lines: [["enqueued", "enqueued", "idle"], ["completed", "completed", "good"], ["retried", "retried", "warn"], ["failed", "failed", "bad"]] },
  slots: { unit: "number", lines: [["busy", "busy slots", "run"], ["slots", "slots", "idle", true]] },
  jobs: { unit: "number", lines: [["due", "due", "warn"], ["running", "running", "run"], ["waiting", "waiting", "idle"]] },
  waits: { unit: "seconds", lines: [["wait_50", "half wait at most", "run"], ["wait_95", "95 of 100 at most", "warn"]] },
  runs: { unit: "seconds", lines: [["run_50", "half run at most", "run"], ["run_95", "95 of 100 at most", "warn"]] },
};
const QUEUE_COLOURS = ["--chart-1", "--chart-2", "--chart-3", "--chart-4", "--chart-5", "--chart-6"];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function seconds(value) {
  if (value >= 86400) return `${+(value / 86400).toFixed(1)}d`;
  if (value >= 3600) return `${+(value / 3600).toFixed(1)}h`;
  if (value >= 60) return `${+(value / 60).toFixed(1)}m`;
  return value >= 1 || value === 0 ? `${+value.toFixed(1)}s` : `${+(value * 1000).toFixed(1)}ms`;
}

const WRITE = {
  seconds,
  rate: (value) => (value === 0 ? "0" : value >= 10 ? `${Math.round(value)}/s` : value >= 1 ? `${+value.toFixed(1)}/s` : `${+(value * 60).toFixed(1)}/min`),
  number: (value) => `${+value.toFixed(value >= 10 ? 0 : 1)}`,
};

function utcOf(at) {
  return `${new Date(at * 1000).toISOString().slice(11, 16)} UTC`;
}

function linesOf(kind, found) {
  const lines = [], values = [];
  const named = found.series.filter((series) => series.queue !== "");
  const all = kind.each ? (named.length ? named : []) : [named.length === 1 ? named[0] : found.series[0]];
  all.forEach((series, number) => {
    for (const [name, label, tint, dashed] of kind.lines) {
      const line = name === "sla" ? (series.sla === null ? null : found.at.map(() => series.sla)) : series[name];
      if (!line || line.every((value) => value === null)) continue;
      const stroke = colour(tint ? `--${tint}` : QUEUE_COLOURS[number % QUEUE_COLOURS.length]);
      lines.push({
        label: kind.each ? `${series.queue}${label ? ` ${label}` : ""}` : label,
        stroke, width: dashed ? 1 : 1.5, dash: dashed ? [5, 4] : undefined, spanGaps: false, points: { show: false },
        value: (_, value) => (value === null || value === undefined ? "–" : WRITE[kind.unit](value)),
      });
      values.push(line);
    }
  });
  return [lines, values];
}

function hasValues(figure, found) {
  return linesOf(KINDS[figure.dataset.kind], found)[1].length > 0;
}

function draw(figure, found) {
  const kind = KINDS[figure.dataset.kind];
  const [lines, values] = linesOf(kind, found);
  drawn.get(figure)?.destroy();
  drawn.delete(figure);
  if (figure.hidden) return;
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--dim"), font: "11px system-ui, sans-serif", grid, ticks: { ...grid, size: 4 } };
  const chart = new uPlot({
    width: figure.clientWidth, height: 156,
    cursor: { sync: { key: "charts" }, drag: { x: false, y: false } },
    legend: { live: true },
    scales: { y: { range: (_, least, most) => [0, most > 0 ? most * 1.1 : 1] } },
    series: [{ value: (_, at) => (at === null ? "–" : zone === "UTC" ? utcOf(at) : `${wide.format(at * 1000)} · ${utcOf(at)}`) }, ...lines],
    axes: [
      { ...axis, space: 60, size: 30, values: (_, ticks) => ticks.map((at) => wideTick(at, found)) },
      { ...axis, size: 52, values: (_, ticks) => ticks.map((value) => WRITE[kind.unit](value)) },
    ],
  }, [found.at, ...values], figure);
  const showLast = () => setTimeout(() => chart.setLegend({ idx: found.at.length - 1 }), 50);
  showLast();  // what is now, until a place is pointed at; the chart itself empties its legend first
  chart.over.addEventListener("mouseleave", showLast);
  drawn.set(figure, chart);
  const last = lines.map((line, at) => `${line.label} ${line.value(null, [...values[at]].reverse().find((v) => v !== null))}`);
  chart.root.querySelector("canvas").setAttribute("aria-hidden", "true");
  figure.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}: ${last.join(", ")}`);
}

const tickTime = new Intl.DateTimeFormat(undefined, { timeStyle: "short", hourCycle: "h23" });
const tickDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

function wideTick(at, found) {
  const moment = new Date(at * 1000);
  return found.at.at(-1) - found.at[0] > 86400 && moment.getHours() === 0 && moment.getMinutes() === 0 ? tickDay.format(moment) : tickTime.format(moment);
}

let lastFound = null, asking = false, askedAt = 0, askedFor = "";

async function lookAtCharts(again) {
  const section = document.querySelector("section.over-time");
  if (!section || asking || document.hidden || (paused && again)) return;
  const source = section.dataset.source;
  if (again && source === askedFor && Date.now() - askedAt < CHART_EVERY * 1000 - 500) return;
  asking = true;
  try {
    const answer = await fetch(source, { headers: { Accept: "application/json" } });
    if (!answer.ok || answer.redirected) return;
    lastFound = await answer.json();
    askedAt = Date.now();
    askedFor = source;
    redraw();
  } catch {
    // The page says so itself when it is looked at again.
  } finally {
    asking = false;
  }
}

function redraw() {
  for (const [figure, chart] of drawn) {
    if (figure.isConnected) continue;
    chart.destroy();
    drawn.delete(figure);
  }
  if (!lastFound) return;
  const figures = [...document.querySelectorAll("figure.chart")];
  for (const figure of figures) figure.hidden = !hasValues(figure, lastFound);  // first: they share the width
  for (const figure of figures) draw(figure, lastFound);
}

let resizing = 0;
addEventListener("resize", () => {
  clearTimeout(resizing);
  resizing = setTimeout(redraw, 200);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
document.addEventListener("visibilitychange", () => lookAtCharts(true));
document.addEventListener("htmx:afterSettle", () => lookAtCharts(true));
setInterval(() => lookAtCharts(true), CHART_EVERY * 1000);
lookAtCharts(false);
