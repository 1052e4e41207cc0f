// The figures as Markdown: the aims first, then a table a row.
//
// Owns how a figure is written. Pure: a result in, text out.

import { PRICES } from "./prices.mjs";
import { SUBJECTS } from "./subjects.mjs";

/** Three digits behind the point below a tenth, two below ten, one below a hundred, none from there on; groups of three. */
export function digits(value) {
  const size = Math.abs(value);
  const places = Number.isInteger(value) || size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3;
  return value.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places });
}

export const spread = ({ median, least, most, rounds }) =>
  rounds.length === 1 || least === most
    ? digits(median)
    : `${digits(median)} (${digits(least)}–${digits(most)})`;

const table = (head, rows) => [
  `| ${head.join(" | ")} |`,
  `| ${head.map((_, n) => (n === 0 ? ":--" : "--:")).join(" | ")} |`,
  ...rows.map((cells) => `| ${cells.join(" | ")} |`),
];

const withUnit = (title, unit) => (unit && unit !== "×" ? `${title}, ${unit}` : title);

function section({ title, note, figures }) {
  const columns = SUBJECTS.filter(({ key }) => figures.some(({ by }) => by[key]));
  const rows = figures
    .filter(({ by }) => Object.keys(by).length > 0)
    .map(({ title: name, unit, by }) => [
      withUnit(name, unit),
      ...columns.map(({ key }) => (by[key] ? spread(by[key]) : "–")),
    ]);
  return [
    `## ${title}`,
    "",
    ...(rows.length > 0 ? table(["", ...columns.map((subject) => subject.title)], rows) : ["Not measured."]),
    "",
    ...(note ? [note, ""] : []),
  ];
}

const bound = ({ least, most, unit }) =>
  `${most === undefined ? "≥" : "≤"} ${digits(most ?? least)}${unit === "×" ? " ×" : unit && ` ${unit}`}`;
const VERDICTS = new Map([
  [true, "met"],
  [false, "**missed**"],
  [null, "not measured"],
]);

function aims(judged) {
  const rows = judged.map((aim) => [
    aim.text,
    bound(aim),
    aim.value === null ? "–" : digits(aim.value),
    VERDICTS.get(aim.met),
  ]);
  const missed = judged.filter(({ met, why }) => met === false && why);
  const reasons = missed.map(({ text, why }) => `- **${text}**: ${why}`);
  return [
    "## Aims",
    "",
    ...table(["", "aim", "measured", ""], rows),
    "",
    ...(reasons.length > 0 ? ["What stands in the way of those that were missed:", "", ...reasons, ""] : []),
  ];
}

function failures(failed) {
  if (failed.length === 0) return [];
  return [
    "## Failed",
    "",
    ...failed.map(({ what, error }) => `- ${what}: ${error.replaceAll("\n", " ")}`),
    "",
  ];
}

const price = () => {
  const { rowsWritten, workerRequests, objectRequests, objectGigabyteSeconds, readOn, sources } = PRICES;
  return [
    `Prices as read on ${readOn}, beyond what a paid plan includes, for a million: rows written $${rowsWritten.toFixed(2)},`,
    `Worker requests $${workerRequests.toFixed(2)}, object requests $${objectRequests.toFixed(2)}, GB-s of objects $${objectGigabyteSeconds.toFixed(2)}.`,
    `Sources: ${sources.join(" · ")}`,
  ];
};

/** The whole report. */
export function markdown({
  at,
  quick,
  machine,
  clock,
  aims: judged,
  rows,
  failures: failed,
  tookMs,
  versions,
}) {
  const load = `load ${machine.loadBefore.toFixed(1)} before and ${machine.loadAfter.toFixed(1)} after`;
  const clocks = clock
    ? ` Clocks agree within ${(Math.abs(clock.offsetMs) + clock.errorMs).toFixed(2)} ms.`
    : "";
  const { disk } = machine;
  const synced = disk ? ` A page on the disk takes ${spread(disk)} ms (fsync).` : "";
  const measured = new Set(rows.map(({ key }) => key));
  return [
    "# Steadfast beside the others",
    "",
    `${at}, ${machine.cores} × ${machine.processor}, Node ${machine.node}, ${load}, ${Math.round(tookMs / 1_000)} s${quick ? ", a quick run" : ""}.${clocks}${synced}`,
    ...(versions ? [versions] : []),
    "",
    "Medians of the rounds' figures, the least and the most round in brackets. Times are of all Workers in one workerd",
    "against one upstream, taking turns within each round; no time here is a promise for another machine.",
    "",
    ...aims(judged.filter(({ met }) => met !== null || rows.length > 1)),
    ...failures(failed),
    ...rows.flatMap(section),
    ...(measured.has("rows") ? [...price(), ""] : []),
  ].join("\n");
}
