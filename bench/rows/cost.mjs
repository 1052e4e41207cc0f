// How many rows a turn writes, object and D1 and alarms together, and what a million such turns cost.
//
// Owns the figures of the metered Workers, and holds ours against what is in the database files: a meter that missed
// a write gives no figures. Counted is from before the request until nothing more is written, so the ship of the
// turn's end and the alarm that was still set are in it.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { inspect, PATIENCE_MS } from "../../miniflare/harness.mjs";
import { figure } from "../context.mjs";
import { GAP_MS } from "../plan.mjs";
import { dollarsPerMillionTurns } from "../prices.mjs";
import { linesIn } from "../storage.mjs";
import { METERED, PASS } from "../subjects.mjs";

/** An alarm set at the turn's end is due within the default `WATCHDOG_MS`; after that nothing is left to write. */
const QUIET_MS = 6_500;
/** Beside a turn's own lines there are the opening and the terminal one. */
const OWN_LINES = 2;

const rowsNow = async (url) => (await fetch(`${url}/__rows`)).json();
const sum = ({ object, d1, alarms }) => object + d1 + alarms;

/** Waits until nothing was written for `QUIET_MS`, and gives the count. */
export async function settled(url) {
  const end = performance.now() + PATIENCE_MS;
  let last = await rowsNow(url);
  let since = performance.now();
  while (performance.now() - since < QUIET_MS) {
    await pause(250);
    const now = await rowsNow(url);
    if (sum(now) !== sum(last)) since = performance.now();
    last = now;
    if (performance.now() > end) throw new Error(`${url} goes on writing`);
  }
  return last;
}

/** Rows of one turn. */
async function rowsOfTurn({ subject, url, turn }, script, stateDir, turnIndex) {
  const session = `rows-${subject.name}`;
  const before = await rowsNow(url);
  await turn(script, session);
  const after = await settled(url);
  const written = Object.fromEntries(Object.keys(after).map((kind) => [kind, after[kind] - before[kind]]));
  if (subject.ours)
    holdAgainstFiles(written, stateDir, subject.name, `dev:${session}:${turnIndex}`, script.lines);
  return written;
}

/** Every metered subject at once, since these are counts and no times. */
async function countedTurns(context) {
  const { turns, lines } = context.plan.rows;
  const { stateDir } = await context.served();
  const results = Object.fromEntries(METERED.map(({ key }) => [key, []]));
  for (let index = 0; index < turns; index++) {
    const round = METERED.filter(({ key }) => results[key].length === index);
    await Promise.all(
      round.map(async (subject) => {
        try {
          const bound = await context.at(subject);
          results[subject.key].push(await rowsOfTurn(bound, { lines, gapMs: GAP_MS }, stateDir, index));
        } catch (error) {
          context.fail(`rows, ${subject.title}`, error);
        }
      }),
    );
  }
  return results;
}

/** A turn of a session that was there before, where one was counted: a first turn makes its tables as well. */
const usual = (turns) =>
  Object.fromEntries(
    Object.entries(turns).map(([key, [first, next]]) => [key, [next ?? first].filter(Boolean)]),
  );

const firstOf = (turns) =>
  Object.fromEntries(Object.entries(turns).map(([key, counts]) => [key, counts.slice(0, 1)]));

export default {
  key: "rows",
  title: "Rows written and dollars",
  async measure(context) {
    const { lines } = context.plan.rows;
    const turns = await countedTurns(context);
    const objectSeconds = (lines * GAP_MS) / 1_000;
    const dollars = (turn) => dollarsPerMillionTurns({ rows: sum(turn), alarms: turn.alarms, objectSeconds });
    const price = figure(
      "rows.dollars",
      "dollars per million turns",
      "$",
      usual(turns),
      (turn) => dollars(turn).total,
    );
    const passed = dollarsPerMillionTurns({ rows: 0, alarms: 0, objectSeconds: 0 });
    price.by[PASS.key] = {
      median: passed.total,
      least: passed.total,
      most: passed.total,
      rounds: [passed.total],
    };
    return [
      figure(
        "rows.first",
        `rows written by ${lines} lines, a session's first turn`,
        "rows",
        firstOf(turns),
        sum,
      ),
      figure("rows.next", `rows written by ${lines} lines, a later turn`, "rows", usual(turns), sum),
      figure("rows.object", "… in the object", "rows", usual(turns), ({ object }) => object),
      figure("rows.d1", "… in D1", "rows", usual(turns), ({ d1 }) => d1),
      figure("rows.alarms", "… alarms", "rows", usual(turns), ({ alarms }) => alarms),
      figure("rows.line", "… a line", "rows", usual(turns), (turn) => sum(turn) / lines),
      price,
      figure("rows.dollars.rows", "… of which rows", "$", usual(turns), (turn) => dollars(turn).rows),
      figure(
        "rows.dollars.time",
        `… of which ${objectSeconds} s of an object`,
        "$",
        usual(turns),
        (turn) => dollars(turn).duration,
      ),
    ];
  },
};

function holdAgainstFiles(written, stateDir, name, runId, lines) {
  const objects = stored(join(stateDir, "do", `${name}-SessionObject`), runId);
  const d1 = stored(join(stateDir, "d1", "miniflare-D1DatabaseObject"), runId);
  for (const [where, log, counted] of [
    ["the object", objects, written.object],
    ["D1", d1, written.d1],
  ]) {
    if (log.lines !== lines + OWN_LINES)
      throw new Error(`${runId}: ${where} holds ${log.lines} lines of ${lines + OWN_LINES}`);
    if (counted < log.rows)
      throw new Error(`${runId}: ${where} holds ${log.rows} rows, yet only ${counted} were counted`);
  }
}

/** Lines and rows of a run's log in all database files of a folder. */
function stored(folder, runId) {
  const found = { lines: 0, rows: 0 };
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".sqlite"))) {
    inspect(join(folder, file), (database) => {
      const lines = linesIn(database, runId);
      if (lines === 0) return;
      found.lines += lines;
      found.rows += database.prepare("SELECT count(*) AS n FROM stream_log WHERE run_id = ?").get(runId).n;
    });
  }
  return found;
}
