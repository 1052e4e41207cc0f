// The two things that are put to the test: the ready Worker, and two processes of the plain one over one D1.
//
// Owns their processes and what their stores hold, for the campaign and for the oracle. When harm is done to them is
// the nemesis's affair. Invariant: what is read for the oracle comes from the stores' own files, not from the product.

import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect, PLAIN_WORKER, Runtime } from "../miniflare/harness.mjs";
import { scriptedVars } from "../miniflare/upstream.mjs";
import { STARTS } from "./plan.mjs";

const IDLE_MS = 1_500;
export const LEASE_MS = 1_500;
/** The default of COMMIT_WINDOW_MS, and PLAIN_WINDOW_MS. */
const WINDOW_MS = { objects: 50, plain: 250 };
const COMMIT_BYTES = 32 * 1024;
const FINAL = ["completed", "failed", "cancelled"];

/** Only an upstream that still has the execution tells again what a lost storage alone had. */
export const survivesLoss = ({ kind, expected }) => kind === "sandbox" && expected.gone === 0;

class Setting {
  /** The records of turns under way and over. */
  turns = [];
  /** `{turn, record}` of every request, for what lives at a kill. */
  reading = new Set();
  autopsies = [];
  /** When storage was taken away, by `performance.now()`. */
  wipes = [];
  /** Kinds of harm that have not been done yet. */
  spared = Infinity;
  /** Nothing is waited for any more. */
  expired = false;
  /** Turns that would not survive the loss of a storage wait for it. */
  gate = null;

  constructor(name, sites, upstream) {
    this.name = name;
    this.sites = sites;
    this.upstream = upstream;
    this.root = mkdtempSync(join(tmpdir(), `steadfast-chaos-${name}-`));
    this.runtimes = [];
  }

  get plain() {
    return this.name === "plain";
  }

  choose(random) {
    return this.runtimes[Math.floor(random() * this.runtimes.length)];
  }

  /** The requests that live on a process now, for a look at what it leaves behind. */
  livingOn(process) {
    return [...this.reading]
      .filter(({ record }) => record.stream && record.process === process && record.status === 200)
      .filter(({ record }) => record.ended === null);
  }

  /** After a kill: what the connections that died with the process had brought, and what is stored. */
  autopsy(cause, living) {
    const stored = this.storedLines();
    const reads = living
      .filter(({ record }) => ["cut", "left", null].includes(record.ended))
      .map(({ turn, record }) => ({ runId: turn.record.runId, read: record }));
    this.autopsies.push({ cause, reads, stored });
  }

  /** A finished request needs no more watching. */
  forgetFinished() {
    for (const one of this.reading) if (one.record.ended !== null) this.reading.delete(one);
  }

  async isOver(runId) {
    try {
      const [row] = await this.runtimes[0].d1("SELECT status FROM runs WHERE run_id = ?", runId);
      return FINAL.includes(row?.status);
    } catch {
      // Killed or locked just now: it is asked again.
      return false;
    }
  }

  /** What D1's file holds: `{runs, log, messages, sessions}` by their keys. */
  d1() {
    return inspect(this.runtimes[0].files("d1")[0], contents);
  }

  async stop(keep) {
    for (const runtime of this.runtimes) await runtime.stop();
    if (!keep) rmSync(this.root, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The ready Worker in one process. */
export class Objects extends Setting {
  static async start(sites, upstream) {
    const setting = new Objects("objects", sites, upstream);
    const vars = scriptedVars(upstream, {
      UPSTREAM: "sandbox,openai-chat,task:research",
      UPSTREAM_IDLE_MS: IDLE_MS,
      UPSTREAM_STARTS: STARTS,
      SHIP_INTERVAL_MS: 300,
      WATCHDOG_MS: 1_000,
    });
    const runtime = new Runtime({ vars, stateDir: setting.root });
    runtime.process = 0;
    setting.runtimes.push(runtime);
    await runtime.start();
    return setting;
  }

  get runtime() {
    return this.runtimes[0];
  }

  #contents() {
    return this.runtime.files("do").map((file) => inspect(file, contents));
  }

  storedLines() {
    const stored = {};
    for (const { log } of this.#contents())
      for (const [runId, rows] of log) stored[runId] = rows.reduce((sum, { count }) => sum + count, 0);
    // What a lost storage had shipped is read from D1.
    for (const [runId, rows] of this.d1().log) stored[runId] ??= rows.reduce((sum, { count }) => sum + count, 0);
    return stored;
  }

  /** Whether an open turn would not survive the loss of its object's storage: nobody tells the tail that D1 lacks. */
  isDelicate() {
    return this.turns.some(({ closed, plan, steered }) => !closed && (!survivesLoss(plan) || steered));
  }

  /** Whether the loss of storage would take nothing but open runs' tails. Nothing may move meanwhile. */
  isShipped() {
    const { runs } = this.d1();
    return this.turns.every(({ record, over }) => {
      const isTaken = record.reads.some(({ stream, status }) => stream && status === 200);
      const status = runs.get(record.runId)?.status;
      const isOver = over || record.statuses.some(({ status }) => FINAL.includes(status));
      return isOver ? FINAL.includes(status) : !isTaken || status !== undefined;
    });
  }

  /** Whether all that is over is in D1, and nothing is left to ship. */
  isSettled() {
    const d1 = this.d1();
    const final = this.turns.every(({ record }) => FINAL.includes(d1.runs.get(record.runId)?.status));
    return final && this.#contents().every(({ unshipped }) => unshipped === 0);
  }

  /** What each store holds of a turn, and of its session. */
  collect() {
    const d1 = this.d1();
    const objects = new Map();
    for (const held of this.#contents()) for (const key of held.sessions.keys()) objects.set(key, held);
    for (const { record } of this.turns) {
      record.stored = { d1: copyOf(d1, record) };
      const object = objects.get(keyOf(record));
      const copy = object ? withBudget(copyOf(object, record), WINDOW_MS.objects, record.expected.steps) : {};
      // Lines of a turn that was over when its object's storage was lost stay in D1, and the object says so.
      const isLeft = this.wipes.length > 0 && copy.run?.log_home === "d1" && copy.rows.length === 0;
      const isNeverAsked = this.wipes.length > 0 && copy.run === undefined;
      if (!isLeft && !isNeverAsked) record.stored.object = copy;
    }
    const object = (key) => objects.get(key);
    return sessionsOf(this.turns, { d1: () => d1, ...(this.wipes.length === 0 ? { object } : {}) });
  }
}

/** Two processes of `examples/plain-worker` whose D1 is one folder. */
export class Plain extends Setting {
  static async start(sites, upstream) {
    const setting = new Plain("plain", sites, upstream);
    mkdirSync(join(setting.root, "d1"));
    for (const side of ["left", "right"]) {
      mkdirSync(join(setting.root, side));
      symlinkSync(join(setting.root, "d1"), join(setting.root, side, "d1"));
      const vars = { AUTH_MODE: "none", UPSTREAM_URL: upstream.url, LEASE_MS, UPSTREAM_IDLE_MS: IDLE_MS };
      const build = join(PLAIN_WORKER, "build");
      const runtime = new Runtime({ root: PLAIN_WORKER, build, vars, stateDir: join(setting.root, side) });
      runtime.process = setting.runtimes.length;
      setting.runtimes.push(runtime);
      await runtime.start();
    }
    return setting;
  }

  storedLines() {
    const stored = {};
    for (const [runId, rows] of this.d1().log) stored[runId] = rows.reduce((sum, { count }) => sum + count, 0);
    return stored;
  }

  isSettled() {
    const { runs } = this.d1();
    return this.turns.every(({ record }) => FINAL.includes(runs.get(record.runId)?.status));
  }

  collect() {
    const d1 = this.d1();
    for (const { record } of this.turns)
      record.stored = { d1: withBudget(copyOf(d1, record), WINDOW_MS.plain) };
    return sessionsOf(this.turns, { d1: () => d1 });
  }
}

const keyOf = ({ session }) => `dev:${session}`;

function contents(database) {
  const has = (table) => database.prepare("SELECT 1 FROM sqlite_master WHERE name = ?").get(table);
  const all = (sql) => (has(sql.match(/FROM (\w+)/)[1]) ? database.prepare(sql).all() : []);
  const grouped = (rows, key) => Map.groupBy(rows, (row) => row[key]);
  const runs = all("SELECT run_id, status, line_count, epoch, log_home, created_at, finished_at FROM runs");
  const messages = all("SELECT session_key, turn_index, position, role, status FROM messages");
  const log = all("SELECT run_id, first_seq, count, epoch, lines FROM stream_log ORDER BY run_id, first_seq");
  return {
    runs: new Map(runs.map((run) => [run.run_id, run])),
    log: grouped(log, "run_id"),
    messages: Map.groupBy(messages, (one) => `${one.session_key}:${one.turn_index}`),
    sessions: new Map(all("SELECT session_key, turn_count FROM sessions").map((one) => [one.session_key, one])),
    unshipped: all("SELECT run_id FROM unshipped").length,
  };
}

function copyOf({ runs, log, messages }, { runId }) {
  const rows = log.get(runId) ?? [];
  const said = (messages.get(runId) ?? []).toSorted((a, b) => a.position - b.position);
  return { run: runs.get(runId), rows, messages: said };
}

/**
 * I13: a row a window, one for what each life begins and ends with, one for each full buffer, and for a task's steps
 * one for each begin and end, since these are durable before what follows them, whatever the window says.
 */
function withBudget(copy, windowMs, steps = 0) {
  if (!copy.run?.finished_at) return copy;
  const bytes = copy.rows.reduce((sum, { lines }) => sum + lines.length, 0);
  const life = copy.run.finished_at - copy.run.created_at;
  const most = 4 + 2 * copy.run.epoch + 2 * steps + Math.ceil(life / windowMs) + Math.ceil(bytes / COMMIT_BYTES);
  return { ...copy, rowsMost: most };
}

function sessionsOf(turns, stores) {
  const bySession = Map.groupBy(turns, ({ record }) => record.session);
  return [...bySession].map(([session, turns]) => {
    const key = `dev:${session}`;
    const stored = {};
    for (const [name, of] of Object.entries(stores)) {
      const held = of(key);
      const runs = [...(held?.runs.keys() ?? [])].filter((runId) => runId.startsWith(`${key}:`));
      stored[name] = { runs, turnCount: held?.sessions.get(key)?.turn_count };
    }
    return { session, turns: turns.map(({ record }) => record.runId), stored };
  });
}
