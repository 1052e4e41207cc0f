// `make bench-runner`: durable runs in memory, on native SQLite, in an object, on D1.
//
// Owns the order: rounds in which every store has its turn, one after another, so that what else the machine does falls
// on all of them alike. It judges no time; it says what was aimed at and what came out. `QUICK=1` takes fewer rounds.
// The table goes to stdout and, with every round's figures, to bench/results/. Invariant: a run that is not whole gives
// no figures.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { NDJSON, request } from "../miniflare/client.mjs";
import { until } from "../miniflare/harness.mjs";
import { over } from "./stats.mjs";
import { settled } from "./rows/cost.mjs";
import { markdown } from "./runner_report.mjs";
import { compatibility, ended, started } from "./subjects.mjs";

const HERE = import.meta.dirname;
const QUICK = Boolean(process.env.QUICK);
const PLAN = QUICK ? { rounds: 2, steps: 200, waits: 5 } : { rounds: 5, steps: 1_000, waits: 10 };
const BRANCHES = 8;
const RESULTS = join(HERE, "results");

const say = (text) => process.stderr.write(`${text}\n`);

/** Compiles the native measurement and gives its program. */
function native() {
  const args = ["bench", "--locked", "--bench", "runner", "--no-run", "--message-format=json"];
  const said = execFileSync("cargo", args, { cwd: resolve(HERE, ".."), stdio: ["ignore", "pipe", "inherit"] });
  const built = said
    .toString()
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line))
    .find(({ reason, target }) => reason === "compiler-artifact" && target.name === "runner");
  return built.executable;
}

const nativeRound = (program) => {
  const args = ["--steps", PLAN.steps, "--resumes", PLAN.waits].map(String);
  return JSON.parse(execFileSync(program, args).toString());
};

/** A library run behind `where`; ms from the request to the answer, which must be the expected one. */
async function libraryRun(url, where, runId, script, mode) {
  const asked = performance.now();
  const reading = await request(url, { method: "POST", path: `/${where}/${runId}`, body: JSON.stringify(script) });
  const text = await reading.whole();
  const ms = performance.now() - asked;
  if (!text.startsWith(`${mode} `)) throw new Error(`${where}/${runId}: ${reading.status} ${text.slice(0, 400)}`);
  return ms;
}

async function library(url, where, round) {
  const script = { steps: PLAN.steps };
  const runId = `steps-${round}`;
  return {
    stepsMs: await libraryRun(url, where, runId, script, "Fresh"),
    replayMs: await libraryRun(url, where, runId, script, "Replayed"),
  };
}

const submit = (url, session, script) =>
  request(url, {
    method: "POST",
    path: `/v1/sessions/${session}/turns`,
    headers: { "content-type": "application/json", accept: NDJSON },
    body: JSON.stringify({ message: "go", metadata: { bench: script } }),
  });

function wholeTurn(reading, session, script) {
  const types = reading.lines.map((line) => JSON.parse(line).type);
  const steps = types.filter((type) => type === "step.completed").length;
  if (types.at(-1) !== "session.run.completed" || steps !== script.steps)
    throw new Error(`${session}: ${steps} of ${script.steps} steps, then ${reading.text.slice(-400)}`);
}

/** A turn whose task makes the script's steps; ms from the request to the end of the answer. */
async function turn(url, session, script) {
  const asked = performance.now();
  const reading = await submit(url, session, script);
  // Nothing reads the lines meanwhile: a client's work would be measured too.
  await reading.done;
  const ms = reading.arrivals.at(-1).at - asked;
  wholeTurn(reading, session, script);
  return ms;
}

/** A turn that waits again and again behind its steps; for each wait the ms from its event to the next line. */
async function waits(url, session, script) {
  const reading = await submit(url, session, script);
  const figures = [];
  for (let n = 0; n < script.waits; n++) {
    await until(`${session} waits for go-${n}`, () => endsWith(reading, "session.run.suspended", `"go-${n}"`));
    const seen = reading.arrivals.length;
    const told = performance.now();
    const path = `/v1/sessions/${session}/turns/0/events/go-${n}`;
    const headers = { "content-type": "application/json" };
    const event = await request(url, { method: "POST", path, headers, body: "true" });
    await event.whole();
    if (event.status >= 300) throw new Error(`${session}: ${event.status} ${event.text}`);
    await until(`${session} goes on`, () => reading.arrivals.length > seen || reading.ended, { everyMs: 1 });
    figures.push(reading.arrivals[seen].at - told);
  }
  await reading.whole();
  wholeTurn(reading, session, script);
  return figures;
}

/** Whether the last line of what was read so far is of this type and about this. */
function endsWith(reading, type, about) {
  if (reading.ended) throw new Error(`the answer ended: ${reading.text.slice(-400)}`);
  const last = reading.bytes.subarray(-400).toString().trimEnd().split("\n").at(-1);
  return last.includes(`"${type}"`) && last.includes(about);
}

async function inSession(url, round) {
  const { steps } = PLAN;
  return {
    stepsMs: await turn(url, `steps-${round}`, { steps }),
    branchesMs: await turn(url, `branches-${round}`, { steps, branches: BRANCHES }),
    replayWaitMs: await waits(url, `behind-${round}`, { steps, waits: PLAN.waits }),
    resumeMs: await waits(url, `waits-${round}`, { steps: 0, waits: PLAN.waits }),
  };
}

async function measureRounds(url, program) {
  const figures = { memory: [], sqlite: [], session: [], own: [], d1: [] };
  const measured = {
    native: () => nativeRound(program),
    session: (round) => inSession(url, round),
    own: (round) => library(url, "own", round),
    d1: (round) => library(url, "d1", round),
  };
  const names = Object.keys(measured);
  // The first round is not measured: it makes D1's tables and lets the engine compile.
  for (let round = 0; round <= PLAN.rounds; round++) {
    say(round === 0 ? "warming up" : `round ${round} of ${PLAN.rounds}, load ${loadavg()[0].toFixed(1)}`);
    for (let n = 0; n < names.length; n++) {
      const name = names[(round + n) % names.length];
      const taken = await measured[name](round);
      if (round > 0) for (const [key, value] of Object.entries(name === "native" ? taken : { [name]: taken })) figures[key].push(value);
    }
  }
  return figures;
}

/** Rows written by a run of its own in each place. */
async function measureRows(url) {
  const { steps } = PLAN;
  const ways = {
    session: () => turn(url, "rows", { steps }),
    branches: () => turn(url, "rows-branches", { steps, branches: BRANCHES }),
    own: () => libraryRun(url, "own", "rows", { steps }, "Fresh"),
    d1: () => libraryRun(url, "d1", "rows", { steps }, "Fresh"),
  };
  // The meter is there with the first object, and D1's tables with the first run.
  await turn(url, "rows-warm-up", { steps: 1 });
  await libraryRun(url, "d1", "rows-warm-up", { steps: 1 }, "Fresh");
  const rows = {};
  for (const [key, run] of Object.entries(ways)) {
    say(`rows: ${key}`);
    const before = await settled(url);
    await run();
    const after = await settled(url);
    rows[key] = Object.fromEntries(Object.keys(after).map((kind) => [kind, (after[kind] - before[kind]) / steps]));
  }
  return rows;
}

/** Every figure of every round, in the shape of the report. */
function summed(rounds, rows) {
  const of = (store, key) => over(rounds[store].flatMap((round) => round[key]));
  const perSecond = (store, key) => over(rounds[store].map((round) => (PLAN.steps * 1_000) / round[key]));
  return {
    steps: {
      ...Object.fromEntries(Object.keys(rounds).map((store) => [store, perSecond(store, "stepsMs")])),
      branches: perSecond("session", "branchesMs"),
    },
    rows: {
      ...rows,
      sqlite: { object: rounds.sqlite[0].rows / PLAN.steps, d1: 0, alarms: 0 },
    },
    replay: Object.fromEntries(["memory", "sqlite", "own", "d1"].map((store) => [store, of(store, "replayMs")])),
    behind: Object.fromEntries(["memory", "sqlite", "session"].map((store) => [store, of(store, "replayWaitMs")])),
    resume: Object.fromEntries(["memory", "sqlite", "session"].map((store) => [store, of(store, "resumeMs")])),
  };
}

async function main() {
  const loadBefore = loadavg()[0];
  const program = native();
  const stateDir = mkdtempSync(join(tmpdir(), "steadfast-bench-"));
  const build = {
    stateful: true,
    buildDir: join(HERE, "runner", "build"),
    objects: { SESSIONS: "SessionObject", RUNNERS: "RunnerObject" },
    vars: { AUTH_MODE: "none", UPSTREAM: "task:measured" },
  };
  const meteredBy = join(HERE, "workers", "metered.js");
  const workers = [
    { ...build, name: "runner" },
    { ...build, name: "runner-metered", meteredBy },
  ];
  const host = await started("host.mjs", { workers, stateDir, ...compatibility() });
  let rounds;
  let rows;
  try {
    rounds = await measureRounds(host.said.urls.runner, program);
    rows = await measureRows(host.said.urls["runner-metered"]);
  } finally {
    await ended(host.child);
    rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
  }
  const result = {
    at: new Date().toISOString(),
    quick: QUICK,
    plan: { ...PLAN, branches: BRANCHES },
    machine: {
      cores: cpus().length,
      processor: cpus()[0]?.model ?? "unknown",
      node: process.version,
      loadBefore,
      loadAfter: loadavg()[0],
    },
    ...summed(rounds, rows),
    rounds,
  };
  const table = markdown(result);
  mkdirSync(RESULTS, { recursive: true });
  writeFileSync(join(RESULTS, "runner.json"), `${JSON.stringify(result, null, 2)}\n`);
  writeFileSync(join(RESULTS, "runner.md"), table);
  process.stdout.write(table);
}

await main();
