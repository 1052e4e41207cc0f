// How long a turn stands still when its runtime is killed.
//
// Owns two figures, both from SIGKILL of workerd and so with its restart: until a client that follows again has a new
// line, and until a new line is in the log when nobody asks and the alarm alone goes on.
// Invariant: every turn measured ends whole, and the upstream was started once.

import { setTimeout as pause } from "node:timers/promises";
import { PersistentClient } from "../miniflare/client.mjs";
import { inspect, startRuntime, until } from "../miniflare/harness.mjs";
import { ScriptedUpstream, scriptedVars, transcript } from "../miniflare/upstream.mjs";

const SCRIPT = { lines: 120, delayMs: 20 };
/** Lines before the kill: past the start, far from the end. */
const LINES_BEFORE = 40;
/** The client's turns end soon after; without one, the alarm may let a turn lie for the watchdog's time. */
const SCRIPT_ALONE = { lines: 400, delayMs: 20 };

/** Figures of each round, in ms. */
export async function measureRecovery({ withClient, alone }) {
  const upstream = await ScriptedUpstream.start();
  const runtime = await startRuntime({ vars: scriptedVars(upstream) });
  const figures = { withClientMs: [], aloneMs: [], restartMs: [] };
  try {
    for (let round = 0; round < withClient; round++)
      await followedAgain(runtime, upstream, `back-${round}`, figures);
    for (let round = 0; round < alone; round++)
      await leftAlone(runtime, upstream, `alone-${round}`, figures);
  } finally {
    await runtime.stop();
    await upstream.close();
  }
  return figures;
}

function start(runtime, session, script) {
  const reader = new PersistentClient(runtime, session, 0);
  const finished = reader.run({ message: "go", metadata: { script } });
  return { reader, finished };
}

function wholeOnce(lines, upstream, session, script) {
  const same = JSON.stringify(lines) === JSON.stringify(transcript(script, { session }));
  if (!same) throw new Error(`${session}: the log is not the upstream's transcript`);
  if (upstream.counts(`dev:${session}:0`).starts !== 1) throw new Error(`${session}: started twice`);
}

async function followedAgain(runtime, upstream, session, figures) {
  const { reader, finished } = start(runtime, session, SCRIPT);
  await until("some lines", () => reader.lines.length >= LINES_BEFORE);
  const killedAt = performance.now();
  await runtime.killWorkerdOnly();
  figures.restartMs.push(performance.now() - killedAt);
  wholeOnce(await finished, upstream, session, SCRIPT);
  const next = reader.connections.at(-1).after + 1;
  figures.withClientMs.push(reader.times[next] - killedAt);
}

async function leftAlone(runtime, upstream, session, figures) {
  const runId = `dev:${session}:0`;
  const controller = new AbortController();
  const answer = await fetch(`${runtime.url}/v1/sessions/${session}/turns`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ turnIndex: 0, message: "go", metadata: { script: SCRIPT_ALONE } }),
    signal: controller.signal,
  });
  await pause(LINES_BEFORE * SCRIPT_ALONE.delayMs);
  controller.abort();
  await answer.text().catch(() => {});
  const killedAt = performance.now();
  await runtime.killWorkerdOnly();
  const before = storedLines(runtime, runId);
  await until("a new line", () => storedLines(runtime, runId) > before, { everyMs: 20 });
  figures.aloneMs.push(performance.now() - killedAt);
  const { reader, finished } = start(runtime, session, SCRIPT_ALONE);
  wholeOnce(await finished, upstream, session, SCRIPT_ALONE);
  if (reader.connections.length !== 1) throw new Error(`${session}: cut again`);
}

/** Lines of a run in its object's own file, read without asking the object: asking would wake it. */
function storedLines(runtime, runId) {
  return Math.max(0, ...runtime.files("do").map((file) => inspect(file, (database) => linesIn(database, runId))));
}

/** Lines of a run in a database of ours, which may have no tables yet. */
export function linesIn(database, runId) {
  const known = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'stream_log'").get();
  if (!known) return 0;
  const sum = "SELECT coalesce(sum(count), 0) AS lines FROM stream_log WHERE run_id = ?";
  return database.prepare(sum).get(runId).lines;
}
