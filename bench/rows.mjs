// How many rows a turn writes, object and D1 and alarms together.
//
// Owns the figures of the metered Workers, and holds them against what is in the database files: a meter that missed
// a write gives no figures. Counted is from before the request until nothing more is written, so the ship of the
// turn's end and the alarm that was still set are in it.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { inspect, PATIENCE_MS } from "../miniflare/harness.mjs";
import { measureTurn } from "./measure.mjs";
import { linesIn } from "./recovery.mjs";

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

/** Rows of one turn of `script` in each of the sessions `rows-<name>`, all at once: counts, not times. */
export function measureRows(subjects, urls, script, stateDir, turnIndex) {
  return Promise.all(
    subjects.map(async ({ name, ours }) => {
      const url = urls[name];
      const session = `rows-${name}`;
      const before = await rowsNow(url);
      await measureTurn(url, script, session);
      const after = await settled(url);
      const written = {
        object: after.object - before.object,
        d1: after.d1 - before.d1,
        alarms: after.alarms - before.alarms,
      };
      if (ours) holdAgainstFiles(written, stateDir, name, `dev:${session}:${turnIndex}`, script.lines);
      return { name, ...written, total: sum(written), perLine: sum(written) / script.lines };
    }),
  );
}

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
