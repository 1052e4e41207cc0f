// `make bench`: Steadfast beside a pass-through Worker and beside one awaited D1 insert an event, in one workerd.
//
// Owns the order: rounds in which every subject has its turn, one after another, so that what else the machine does
// falls on all of them alike. It judges no time; it says what was aimed at and what came out. `QUICK=1` takes fewer
// rounds. The table goes to stdout and, with every round's figures, to bench/results/.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { BUILD } from "../miniflare/harness.mjs";
import { clockOffset, measureTurn, median, over, quantile } from "./measure.mjs";
import { measureRecovery } from "./recovery.mjs";
import { markdown } from "./report.mjs";
import { measureRows } from "./rows.mjs";
import { METERED, SUBJECTS, start } from "./subjects.mjs";

const QUICK = Boolean(process.env.QUICK);
/** 50 lines a second, as a quick model writes. */
const GAP_MS = 20;
const PLAN = QUICK
  ? { first: 5, paced: 1, pacedLines: 50, bursts: 1, rowsTurns: 1, withClient: 2, alone: 1 }
  : { first: 20, paced: 3, pacedLines: 200, bursts: 3, rowsTurns: 2, withClient: 5, alone: 3 };
const BURST_LINES = 5_000;
const ROWS_LINES = 400;
const SHORT = { lines: 3, gapMs: GAP_MS };
const RESULTS = join(import.meta.dirname, "results");

const say = (text) => process.stderr.write(`${text}\n`);

/** Gives every subject its turn in each round, beginning with another one each time. */
async function rounds(count, what, measure) {
  const figures = Object.fromEntries(SUBJECTS.map(({ key }) => [key, []]));
  for (let round = 0; round < count; round++) {
    say(`${what}: round ${round + 1} of ${count}`);
    for (let n = 0; n < SUBJECTS.length; n++) {
      const subject = SUBJECTS[(round + n) % SUBJECTS.length];
      figures[subject.key].push(await measure(subject, round));
    }
  }
  return figures;
}

const each = (figures, read) =>
  Object.fromEntries(Object.entries(figures).map(([key, turns]) => [key, over(turns.map(read))]));

/** What a subject's figures are above the pass-through's of the same round. */
const above = (figures, read) =>
  Object.fromEntries(
    Object.entries(figures).map(([key, turns]) => [
      key,
      over(turns.map((turn, round) => read(turn) - read(figures.pass[round]))),
    ]),
  );

async function firstTokens(urls) {
  const turns = await rounds(PLAN.first, "first token", async ({ name }, round) => ({
    fresh: (await measureTurn(urls[name], SHORT, `${name}-first-${round}`)).firstMs,
    next: (await measureTurn(urls[name], SHORT, `${name}-first-${round}`)).firstMs,
  }));
  const fresh = (turn) => turn.fresh;
  const next = (turn) => turn.next;
  return {
    newSession: each(turns, fresh),
    newSessionAbove: above(turns, fresh),
    nextTurn: each(turns, next),
    nextTurnAbove: above(turns, next),
  };
}

async function lines(urls) {
  const script = { lines: PLAN.pacedLines, gapMs: GAP_MS };
  const turns = await rounds(PLAN.paced, "lines", async ({ name }, round) => {
    return (await measureTurn(urls[name], script, `${name}-paced-${round}`)).delaysMs;
  });
  const p99 = (delays) => quantile(delays, 0.99);
  return { p50: each(turns, median), p50Above: above(turns, median), p99: each(turns, p99) };
}

async function bursts(urls) {
  const script = { lines: BURST_LINES, gapMs: 0 };
  const turns = await rounds(PLAN.bursts, "burst", async ({ name }, round) => {
    return (await measureTurn(urls[name], script, `${name}-burst-${round}`)).totalMs;
  });
  const total = each(turns, (ms) => ms);
  const quicker = Object.fromEntries(
    Object.entries(turns).map(([key, times]) => [key, over(times.map((ms, n) => turns.event[n] / ms))]),
  );
  return { total, quicker };
}

async function rows(urls, stateDir) {
  const script = { lines: ROWS_LINES, gapMs: GAP_MS };
  const turns = [];
  for (let turn = 0; turn < PLAN.rowsTurns; turn++) {
    say(`rows: turn ${turn + 1} of ${PLAN.rowsTurns}`);
    turns.push(await measureRows(METERED, urls, script, stateDir, turn));
  }
  const byKey = (counts) => Object.fromEntries(METERED.map(({ key }, n) => [key, counts[n]]));
  return { newSession: byKey(turns[0]), nextTurn: turns[1] ? byKey(turns[1]) : null };
}

function size() {
  const wasm = readFileSync(join(BUILD, "index_bg.wasm"));
  return { raw: wasm.length, gzip: gzipSync(wasm, { level: 9 }).length };
}

async function measureAll(served) {
  say("warming up");
  // Not measured: the first turns make D1's tables and let the engine compile.
  for (const { name } of [...SUBJECTS, ...METERED])
    for (let turn = 0; turn < 3; turn++) await measureTurn(served.urls[name], SHORT, `${name}-warm-up`);
  return {
    clock: await clockOffset(served.upstreamUrl),
    first: await firstTokens(served.urls),
    lines: await lines(served.urls),
    burst: await bursts(served.urls),
    rows: await rows(served.urls, served.stateDir),
  };
}

async function main() {
  const from = performance.now();
  const loadBefore = loadavg()[0];
  const served = await start();
  const figures = await measureAll(served).finally(() => served.stop());
  say("recovery");
  const recovered = await measureRecovery(PLAN);
  const result = {
    at: new Date().toISOString(),
    quick: QUICK,
    plan: { ...PLAN, gapMs: GAP_MS, burstLines: BURST_LINES, rowsLines: ROWS_LINES },
    machine: {
      cores: cpus().length,
      processor: cpus()[0]?.model ?? "unknown",
      node: process.version,
      loadBefore,
      loadAfter: loadavg()[0],
    },
    ...figures,
    recovery: {
      withClient: over(recovered.withClientMs),
      alone: over(recovered.aloneMs),
      restart: over(recovered.restartMs),
    },
    wasm: size(),
    tookMs: performance.now() - from,
  };
  const table = markdown(result);
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, "latest.json"), `${JSON.stringify(result, null, 2)}\n`);
  writeFileSync(join(RESULTS, "latest.md"), table);
  process.stdout.write(table);
}

await main();
