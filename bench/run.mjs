// `make bench`: Steadfast beside a pass-through, an awaited insert an event, and Cloudflare's own chat agent.
//
// Owns the order of the rows and what is written: bench/results/latest.{md,json,svg}, the Markdown on stdout as well.
// bench/report is a copy of the last full run that was kept. It judges no time; it says what was aimed at and what came
// out. `ONLY=burst,rows` measures those rows alone, `QUICK=1` takes fewer rounds. `TMPDIR=/dev/shm` keeps the Workers'
// state in memory and so leaves the disk's time out. A row that fails is named with its error, and the others go on.

import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { judge } from "./aims.mjs";
import { chart } from "./chart.mjs";
import { Context, say } from "./context.mjs";
import { syncMs } from "./disk.mjs";
import { clockOffset } from "./measure.mjs";
import { FULL, QUICK } from "./plan.mjs";
import { markdown } from "./report.mjs";
import { ROWS } from "./rows/all.mjs";
import { SUBJECTS } from "./subjects.mjs";

const isQuick = Boolean(process.env.QUICK);
const RESULTS = join(import.meta.dirname, "results");

function chosenRows() {
  const only = (process.env.ONLY ?? "").split(",").filter(Boolean);
  const unknown = only.filter((key) => !ROWS.some((row) => row.key === key));
  if (unknown.length > 0)
    throw new Error(`no row is called ${unknown}; there are ${ROWS.map(({ key }) => key)}`);
  return only.length === 0 ? ROWS : ROWS.filter(({ key }) => only.includes(key));
}

async function measured(context, row) {
  const from = performance.now();
  say(`== ${row.title}`);
  let figures = [];
  try {
    figures = await row.measure(context);
  } catch (error) {
    context.fail(row.title, error);
  }
  const tookMs = performance.now() - from;
  say(`-- ${row.title}: ${(tookMs / 1_000).toFixed(1)} s`);
  return { key: row.key, title: row.title, note: row.note, figures, tookMs };
}

async function measureAll(context, chosen) {
  const rows = [];
  let clock = null;
  try {
    for (const row of chosen) rows.push(await measured(context, row));
    clock = await clockOffset((await context.served()).upstreamUrl);
  } finally {
    await context.stop();
  }
  return { rows, clock };
}

async function main() {
  const from = performance.now();
  const loadBefore = loadavg()[0];
  const disk = syncMs();
  const plan = isQuick ? QUICK : FULL;
  const context = new Context(plan, SUBJECTS);
  const { rows, clock } = await measureAll(context, chosenRows());
  const result = {
    at: new Date().toISOString(),
    quick: isQuick,
    plan,
    machine: {
      cores: cpus().length,
      processor: cpus()[0]?.model ?? "unknown",
      node: process.version,
      loadBefore,
      loadAfter: loadavg()[0],
      disk,
    },
    clock,
    aims: judge(rows.flatMap(({ figures }) => figures)),
    failures: context.failures,
    rows,
    tookMs: performance.now() - from,
  };
  const report = markdown(result);
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, "latest.json"), `${JSON.stringify(result, null, 2)}\n`);
  writeFileSync(join(RESULTS, "latest.md"), report);
  writeFileSync(join(RESULTS, "latest.svg"), chart(result));
  process.stdout.write(report);
}

await main();
