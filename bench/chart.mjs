// The figures as bars: a panel a figure, a bar a subject, each with its value and its ratio to ours.
//
// Owns the drawing, legible on light and on dark. Pure: a result in, SVG out. A panel without figures is left out, and
// one whose bars differ by more than two powers of ten has a logarithmic scale and says so.

import { digits } from "./report.mjs";
import { DEFAULT, SUBJECTS } from "./subjects.mjs";

/** What a user weighs, in the order of the report; less is better in all of them. */
const PANELS = [
  { key: "first.next", title: "Time to first line, a session's next turn", unit: "ms" },
  { key: "line.p50", title: "A line at 50/s, from upstream to client, median", unit: "ms" },
  { key: "burst.ms", title: "Burst of 5,000 lines", unit: "ms" },
  { key: "rows.next", title: "Rows written by a turn of 400 lines", unit: "rows" },
  { key: "rows.dollars", title: "A million such turns, without the model", unit: "$" },
  { key: "kills.lost", title: "Lines lost when the runtime is killed in mid-turn", unit: "lines" },
  { key: "kills.back", title: "SIGKILL to the next line, client comes back", unit: "ms" },
  { key: "resume.mid", title: "Bytes sent on a return in mid-turn, over bytes missing", unit: "×" },
  { key: "many.p99", title: "200 sessions at 20 lines/s each, p99 of a line", unit: "ms" },
  { key: "viewers.p99", title: "100 viewers of one turn, p99 of a line", unit: "ms" },
  { key: "cpu.thousand", title: "CPU of the runtime for 1,000 lines", unit: "ms" },
  { key: "memory.live", title: "Memory for a live session", unit: "KB" },
];

const COLUMN = 560;
const LABEL = 132;
const BAR = 250;
const LINE = 24;
const HEAD = 44;
const GAP = 26;
const MARGIN = 28;
const TOP = 86;
/** Beyond this a linear scale leaves nothing to see of the smaller bars. */
const LINEAR_MOST = 100;
const LEAST_BAR = 2;

const STYLE = `
  text { font: 13px ui-sans-serif, system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2933; }
  .back { fill: #ffffff; } .track { fill: #eef1f4; } .other { fill: #9aa5b1; } .ours { fill: #1f6feb; }
  .title { font-size: 21px; font-weight: 650; } .panel { font-size: 14px; font-weight: 600; }
  .soft { fill: #616e7c; font-size: 12px; } .value { font-variant-numeric: tabular-nums; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e4e7eb; } .back { fill: #12161c; } .track { fill: #1f2630; } .other { fill: #66727f; }
    .ours { fill: #58a6ff; } .soft { fill: #9aa5b1; }
  }`;

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const text = (x, y, what, classes = "", more = "") =>
  `<text x="${x}" y="${y}" class="${classes}"${more}>${escaped(what)}</text>`;
const rect = (x, y, width, height, classes) =>
  `<rect x="${x}" y="${y}" width="${width.toFixed(1)}" height="${height}" rx="3" class="${classes}"/>`;

const valued = (value, unit) => (unit === "$" ? `$${digits(value)}` : `${digits(value)} ${unit}`);

/** How long a bar is, as a share; the scale begins at nothing, or a power of ten below the least. */
export function scale(values) {
  const most = Math.max(...values);
  const positive = values.filter((value) => value > 0);
  const least = Math.min(...positive);
  if (positive.length === 0) return { isLog: false, share: () => 0 };
  if (most / least <= LINEAR_MOST) return { isLog: false, share: (value) => Math.max(0, value) / most };
  const from = Math.log10(least) - 1;
  return {
    isLog: true,
    share: (value) => (value > 0 ? (Math.log10(value) - from) / (Math.log10(most) - from) : 0),
  };
}

function panel({ title, unit }, by, x, y) {
  const bars = SUBJECTS.filter(({ key }) => by[key]);
  const { isLog, share } = scale(bars.map(({ key }) => by[key].median));
  const own = by[DEFAULT.key]?.median;
  const parts = [text(x, y + 16, title, "panel")];
  if (isLog) parts.push(text(x + COLUMN - MARGIN, y + 16, "log scale", "soft", ' text-anchor="end"'));
  for (const [n, { key, title: name, ours }] of bars.entries()) {
    const value = by[key].median;
    const top = y + HEAD - 14 + n * LINE;
    const ratio = own > 0 && key !== DEFAULT.key ? `×${digits(value / own)}` : "";
    const end = x + LABEL + BAR + 10;
    parts.push(
      text(x + LABEL - 10, top + 13, name, "soft", ' text-anchor="end"'),
      rect(x + LABEL, top, BAR, LINE - 7, "track"),
      rect(x + LABEL, top, Math.max(LEAST_BAR, BAR * share(value)), LINE - 7, ours ? "ours" : "other"),
      text(end, top + 13, valued(value, unit), "value"),
      text(x + COLUMN - MARGIN, top + 13, ratio, "soft value", ' text-anchor="end"'),
    );
  }
  return { parts, height: HEAD + bars.length * LINE };
}

/** The whole chart. */
export function chart({ at, quick, machine, rows }) {
  const figures = new Map(rows.flatMap((row) => row.figures).map((figure) => [figure.key, figure.by]));
  const panels = PANELS.filter(({ key }) => Object.keys(figures.get(key) ?? {}).length > 0);
  const heights = [TOP, TOP];
  const body = [];
  for (const one of panels) {
    const column = heights[0] <= heights[1] ? 0 : 1;
    const { parts, height } = panel(
      one,
      figures.get(one.key),
      MARGIN + column * (COLUMN + MARGIN),
      heights[column],
    );
    body.push(...parts);
    heights[column] += height + GAP;
  }
  const [width, height] = [2 * COLUMN + 3 * MARGIN, Math.max(...heights)];
  const run = `${at.slice(0, 10)}, one run in one workerd on ${machine.cores} × ${machine.processor}${quick ? ", quick" : ""}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">`,
    "<title>Steadfast beside the others</title>",
    `<style>${STYLE}</style>`,
    `<rect width="${width}" height="${height}" class="back"/>`,
    text(MARGIN, 38, "Steadfast beside the others: less is better everywhere", "title"),
    text(MARGIN, 60, `${run}. Medians; × is the ratio to “${DEFAULT.title}”, the default.`, "soft"),
    ...body,
    "</svg>",
    "",
  ].join("\n");
}
