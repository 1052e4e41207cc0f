// The figures as a Markdown table, with the aims beside them.
//
// Owns the aims and what is said about each row. Pure: a result in, text out.

import { DEFAULT, EVENT, OURS, PASS } from "./subjects.mjs";

const COLUMNS = [PASS, EVENT, ...OURS];
const ALL = COLUMNS.map(({ key }) => key);
const KEPT = ALL.filter((key) => key !== PASS.key);
const OWN = OURS.map(({ key }) => key);

const FIRST_ABOVE_MS = 10;
const LINE_ABOVE_MS = 5;
const TIMES_QUICKER = 20;
const ROWS_A_LINE = 0.5;
const RECOVERED_MS = 2_000;
/** The default `WATCHDOG_MS`, after which an alarm looks at an open run. */
const WATCHDOG_MS = 5_000;
const WASM_BYTES = 400_000;

export const digits = (value) => (Math.abs(value) < 100 ? value.toFixed(1) : Math.round(value).toString());
export const spread = ({ median, least, most, rounds }) =>
  rounds.length === 1 ? digits(median) : `${digits(median)} (${digits(least)}–${digits(most)})`;
const times = ({ median, least, most, rounds }) =>
  rounds.length === 1 ? `×${digits(median)}` : `×${digits(median)} (${digits(least)}–${digits(most)})`;
const ratio = (figures, key) => `×${digits(figures[key].median / figures[PASS.key].median)}`;
const kilobytes = (bytes) => (bytes / 1_000).toFixed(1);

/** A row: a cell for each of `keys`, and whether each aim for ours was met. */
function row(title, keys, cell, aim) {
  const cells = ALL.map((key) => (keys.includes(key) ? cell(key) : "–"));
  const said = aim ? [aim.text, verdict(aim.met)] : ["", ""];
  return [title, ...cells, ...said];
}

/** One word when it is the same for all windows, else one for each. */
function verdict(met) {
  const words = OURS.map((subject) => (met(subject) ? "met" : "missed"));
  return new Set(words).size === 1 ? words[0] : words.join(" / ");
}

const withRatio = (figures) => (key) =>
  key === PASS.key ? spread(figures[key]) : `${spread(figures[key])} ${ratio(figures, key)}`;

function timeRows({ first, lines, burst }) {
  const firstAim = (figures) => ({
    text: `≤ ${FIRST_ABOVE_MS} ms above`,
    met: ({ key }) => figures[key].median <= FIRST_ABOVE_MS,
  });
  const above = (figures) => (key) => spread(figures[key]);
  return [
    row("first token, new session, ms", ALL, withRatio(first.newSession)),
    row("… above the pass-through", KEPT, above(first.newSessionAbove), firstAim(first.newSessionAbove)),
    row("first token, next turn, ms", ALL, withRatio(first.nextTurn)),
    row("… above the pass-through", KEPT, above(first.nextTurnAbove), firstAim(first.nextTurnAbove)),
    row("a line at 50 lines/s, p50, ms", ALL, withRatio(lines.p50)),
    row("… above the pass-through", KEPT, above(lines.p50Above), {
      text: `≤ window/2 + ${LINE_ABOVE_MS} ms above`,
      met: ({ key, windowMs }) => lines.p50Above[key].median <= windowMs / 2 + LINE_ABOVE_MS,
    }),
    row("a line at 50 lines/s, p99, ms", ALL, withRatio(lines.p99)),
    row("burst of 5,000 lines, ms", ALL, withRatio(burst.total)),
    row("… times as quick as an insert an event", OWN, (key) => times(burst.quicker[key]), {
      text: `≥ ×${TIMES_QUICKER}`,
      met: ({ key }) => burst.quicker[key].median >= TIMES_QUICKER,
    }),
  ];
}

function rowRows({ rows }) {
  const of = (title, counts) => [
    row(`rows written, 400 lines, ${title}`, KEPT, (key) => {
      const { object, d1, alarms, total } = counts[key];
      return `${total} = ${object} object + ${d1} D1 + ${alarms} alarms`;
    }),
    row("… a line", KEPT, (key) => counts[key].perLine.toFixed(2), {
      text: `≤ ${ROWS_A_LINE}`,
      met: ({ key }) => counts[key].perLine <= ROWS_A_LINE,
    }),
  ];
  return [
    ...of("first turn of a session", rows.newSession),
    ...(rows.nextTurn ? of("next turn", rows.nextTurn) : []),
  ];
}

function otherRows({ recovery, wasm }) {
  const own = [DEFAULT.key];
  return [
    row("SIGKILL to the next line, client follows again, ms", own, () => spread(recovery.withClient), {
      text: `≤ ${RECOVERED_MS} ms`,
      met: () => recovery.withClient.median <= RECOVERED_MS,
    }),
    row("SIGKILL to the next line, alarm alone, ms", own, () => spread(recovery.alone), {
      text: `≤ ${WATCHDOG_MS + RECOVERED_MS} ms`,
      met: () => recovery.alone.median <= WATCHDOG_MS + RECOVERED_MS,
    }),
    row("wasm, KB raw / gzip -9", own, () => `${kilobytes(wasm.raw)} / ${kilobytes(wasm.gzip)}`, {
      text: `≤ ${WASM_BYTES / 1_000} KB gzip`,
      met: () => wasm.gzip <= WASM_BYTES,
    }),
  ];
}

const NOTES = `
Medians of the rounds' figures, the least and the most round in brackets, × the ratio to the pass-through. All Workers
ran in one workerd against one upstream, taking turns within each round; no time here is a promise for another machine.

- First token: from the request to the first line of the answer's text; the opening line comes before it. "New session"
  makes the object and its tables.
- A line: from the upstream's write of a frame to the client's read of its line.
- Burst: from the request to the last line, which the upstream writes as fast as it is taken.
- Rows: the runtime's own counters (\`rowsWritten\`, \`meta.rows_written\`) of every statement, index rows, the making of
  tables in a new object, and shipping included, and one for each alarm that is set; checked against the database files.
  The per-event Worker writes its events only, no run, no step and no handle.
- SIGKILL: of workerd, its restart included. No client: from the kill until a new line is in the log.
`;

/** The whole report. */
export function markdown(result) {
  const { machine, clock, plan } = result;
  const table = [
    ["", ...COLUMNS.map(({ title }) => title), "aim", ""],
    [":--", ...COLUMNS.map(() => "--:"), ":--", ":--"],
    ...timeRows(result),
    ...rowRows(result),
    ...otherRows(result),
  ];
  const clockMs = (Math.abs(clock.offsetMs) + clock.errorMs).toFixed(2);
  const load = `load ${machine.loadBefore.toFixed(1)} before and ${machine.loadAfter.toFixed(1)} after`;
  const rounds = [
    `${plan.first} first tokens`,
    `${plan.paced} × ${plan.pacedLines} lines`,
    `${plan.bursts} bursts`,
  ].join(", ");
  return [
    `${result.at}, ${machine.cores} × ${machine.processor}, Node ${machine.node}, ${load}; rounds: ${rounds};`,
    `restart of workerd ${spread(result.recovery.restart)} ms; clocks agree within ${clockMs} ms.`,
    "",
    ...table.map((cells) => `| ${cells.join(" | ")} |`),
    NOTES,
  ].join("\n");
}
