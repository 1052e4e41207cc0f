// The durable runner's figures as a Markdown table, with the aims beside them.
//
// Owns the aims and what is said about each row. Pure: a result in, text out.

import { digits, spread } from "./report.mjs";

const COLUMNS = [
  ["memory", "in memory"],
  ["sqlite", "native SQLite"],
  ["own", "an object of its own"],
  ["session", "a turn in its session's object"],
  ["branches", "… in 8 named branches"],
  ["d1", "D1"],
];

const STEPS_A_SECOND = 1_000;
const REPLAY_MS = 100;

const verdict = (isMet) => (isMet ? "met" : "missed");

function row(title, figures, aim = ["", ""], cell = spread) {
  return [title, ...COLUMNS.map(([key]) => (figures[key] ? cell(figures[key]) : "–")), ...aim];
}

function aims({ steps, replay, behind }) {
  const quick = ["own", "session"].map((key) => verdict(steps[key].median >= STEPS_A_SECOND));
  return {
    steps: [`≥ ${STEPS_A_SECOND} in objects`, [...new Set(quick)].join(" / ")],
    replay: [`≤ ${REPLAY_MS} ms`, verdict(Object.values(replay).every(({ median }) => median <= REPLAY_MS))],
    behind: [`≤ ${REPLAY_MS} ms`, verdict(Object.values(behind).every(({ median }) => median <= REPLAY_MS))],
  };
}

const rowsCell = ({ object, d1, alarms }) =>
  [
    [object, ""],
    [d1, " D1"],
    [alarms, " alarms"],
  ]
    .filter(([count]) => count >= 0.005)
    .map(([count, where]) => `${count.toFixed(2)}${where}`)
    .join(" + ");

const NOTES = `
Medians of the rounds' figures, the least and the most in brackets. Every store had its turn within each round, all
Workers in one workerd; no time here is a promise for another machine. Steps do nothing and give 100 bytes.

- Steps a second: of a whole run, its begin and its end included; in a Worker from the request to the end of the answer.
  A step is two commits, its begin and its end. A turn also tells both as lines, which a client reads along, and ships
  to D1 meanwhile.
- Rows: native SQLite by its own count of changes, the others by the runtime's counters, index rows and shipping included.
- Replay: of a run that is over, from its record alone; nothing is written.
- Resume: in a turn from the POST of the event to the next line at a client that follows; in the library from the event
  to the end of the run. A suspended run has no memory: what it did before is replayed first.
`;

/** The whole report. */
export function markdown(result) {
  const { machine, plan } = result;
  const aim = aims(result);
  const table = [
    ["", ...COLUMNS.map(([, title]) => title), "aim", ""],
    [":--", ...COLUMNS.map(() => "--:"), ":--", ":--"],
    row(`steps a second, ${plan.steps} steps`, result.steps, aim.steps),
    row("rows written a step", result.rows, ["", ""], rowsCell),
    row(`replay of ${plan.steps} steps, ms`, result.replay, aim.replay),
    row(`resume behind ${plan.steps} steps, ms`, result.behind, aim.behind),
    row("resume behind none, ms", result.resume),
  ];
  const load = `load ${digits(machine.loadBefore)} before and ${digits(machine.loadAfter)} after`;
  return [
    `${result.at}, ${machine.cores} × ${machine.processor}, Node ${machine.node}, ${load};`,
    `${plan.rounds} rounds, ${plan.waits} resumes in each.`,
    "",
    ...table.map((cells) => `| ${cells.join(" | ")} |`),
    NOTES,
  ].join("\n");
}
