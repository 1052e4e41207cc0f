// The built Worker in real workerd, under a test's control.
//
// Owns starting, killing and stopping of runtimes, and what can be seen of their state from outside: D1, the
// objects' SQLite files. It knows nothing of turns; `client.mjs` speaks the protocol.
// Invariant: each runtime has its own port and state folder, and nothing it started outlives its `stop`.

import { execFileSync, fork } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";

const ROOT = resolve(import.meta.dirname, "..");

/** Where tests find the builds; `make test` makes them all. */
export const BUILD = resolve(ROOT, process.env.STEADFAST_BUILD ?? "build");
export const FAULTS_BUILD = resolve(ROOT, process.env.STEADFAST_FAULTS_BUILD ?? "build-faults");

/** The folder of the Worker that is built on the crate; its build is below it. */
export const CUSTOM_WORKER = join(ROOT, "examples", "custom-worker");

/** The folder of the Worker without objects; its build is below it. */
export const PLAIN_WORKER = join(ROOT, "examples", "plain-worker");

/** What is awaited in these tests takes seconds; on a loaded two-core machine a minute is still alive. */
export const PATIENCE_MS = 60_000;

/** What a Worker's `wrangler.toml` says of it: its name, how it is to be run, its object classes by binding. */
function configuration(root) {
  const text = readFileSync(join(root, "wrangler.toml"), "utf8");
  const configured = (name) => {
    const found = text.match(new RegExp(`^${name}\\s*=\\s*"([^"]+)"`, "m"));
    if (!found) throw new Error(`${root}/wrangler.toml has no ${name}`);
    return found[1];
  };
  const flags = text.match(/^compatibility_flags\s*=\s*\[([^\]]*)\]/m)?.[1] ?? "";
  const bindings = text.matchAll(
    /^\[\[durable_objects\.bindings\]\]\nname\s*=\s*"([^"]+)"\nclass_name\s*=\s*"([^"]+)"/gm,
  );
  return {
    name: configured("name"),
    compatibilityDate: configured("compatibility_date"),
    compatibilityFlags: [...flags.matchAll(/"([^"]+)"/g)].map((m) => m[1]),
    objects: Object.fromEntries([...bindings].map(([, binding, className]) => [binding, className])),
  };
}

/** Polls `probe` until it gives something truthy; the only way these tests wait for a state. */
export async function until(what, probe, { ms = PATIENCE_MS, everyMs = 15 } = {}) {
  const end = performance.now() + ms;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await pause(everyMs);
  }
}

/** A small seeded generator (mulberry32): the same seed, the same moments. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** The run's seed: `SEED=…` repeats a failing run; the tests print the one they took. */
export const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000);

export class Runtime {
  #options;
  #host = null;
  #workerd = null;
  #waiting = new Map();
  #nextId = 0;
  #ownsState;
  #output = [];

  /** `root` is the folder of the Worker's `wrangler.toml`. */
  constructor({ root = ROOT, build = BUILD, vars = {}, stateDir = null, port = 0 } = {}) {
    if (!existsSync(join(build, "index.js"))) {
      throw new Error(`${build}/index.js is missing: run \`make build build-faults build-example\` first`);
    }
    this.#ownsState = stateDir === null;
    this.stateDir = stateDir ?? mkdtempSync(join(tmpdir(), "steadfast-"));
    const text = Object.fromEntries(Object.entries(vars).map(([key, value]) => [key, String(value)]));
    this.#options = {
      buildDir: build,
      port,
      stateDir: this.stateDir,
      vars: text,
      ...configuration(root),
    };
  }

  /** Starts the runtime, again on the port it had; resolves when it serves. */
  async start({ vars } = {}) {
    if (this.#host) throw new Error("the runtime runs already");
    if (vars) this.#options.vars = { ...this.#options.vars, ...vars };
    const host = fork(join(import.meta.dirname, "host.mjs"), [JSON.stringify(this.#options)], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    this.#host = host;
    for (const stream of [host.stdout, host.stderr]) stream.on("data", (bytes) => this.#keep(bytes));
    host.on("message", (message) => this.#answer(message));
    const { promise, resolve: ready, reject } = Promise.withResolvers();
    const onExit = () => reject(new Error(`the runtime ended at its start:\n${this.output()}`));
    host.once("exit", onExit);
    host.on("message", (message) => {
      if (message.kind === "ready") ready(message.url);
      if (message.kind === "failed") reject(new Error(message.error));
    });
    this.url = await promise;
    host.off("exit", onExit);
    this.#options.port = Number(new URL(this.url).port);
    this.#workerd = workerdOf(host.pid);
    return this;
  }

  /** What the runtime wrote lately; the Worker's own log lines among it. */
  output() {
    return this.#output.join("");
  }

  #keep(bytes) {
    this.#output.push(bytes.toString());
    // Bounded: a loud Worker must not grow the test process.
    if (this.#output.length > 2_000) this.#output.splice(0, 1_000);
  }

  #answer(message) {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) return;
    this.#waiting.delete(message.id);
    if (message.error) waiting.reject(new Error(message.error));
    else waiting.resolve(message.answer);
  }

  /** SIGKILL of workerd and of its supervisor at once: nothing is flushed, nothing restarts. */
  async kill() {
    const host = this.#host;
    if (!host) throw new Error("no runtime to kill");
    const gone = once(host, "exit");
    process.kill(this.#workerd, "SIGKILL");
    host.kill("SIGKILL");
    await gone;
    await until("workerd is gone", () => !alive(this.#workerd));
    this.#forget();
  }

  /** SIGKILL of workerd alone; its supervisor starts the next one within a moment. */
  async killWorkerdOnly() {
    const host = this.#host;
    const before = this.#workerd;
    const restarted = new Promise((done) => {
      const watch = (message) => {
        if (message.kind !== "restarted") return;
        host.off("message", watch);
        done();
      };
      host.on("message", watch);
    });
    process.kill(before, "SIGKILL");
    await restarted;
    this.#workerd = await until("workerd is back", () => workersOf(host.pid).find((pid) => pid !== before));
  }

  /** Kills and starts again after `downtimeMs`. */
  async restart(downtimeMs = 0) {
    await this.kill();
    await pause(downtimeMs);
    return this.start();
  }

  /** Freezes and thaws workerd: the classic zombie. */
  freeze() {
    process.kill(this.#workerd, "SIGSTOP");
  }

  thaw() {
    process.kill(this.#workerd, "SIGCONT");
  }

  /** Freezes workerd at a moment in which it doesn't hold D1's lock: nobody else could write. */
  async freezeUnlocked() {
    await until("it stands outside of a write", () => {
      this.freeze();
      const database = new DatabaseSync(this.files("d1")[0]);
      try {
        database.exec("BEGIN IMMEDIATE; ROLLBACK");
        return true;
      } catch {
        this.thaw();
        return false;
      } finally {
        database.close();
      }
    });
  }

  #forget() {
    this.#host = null;
    for (const waiting of this.#waiting.values()) waiting.reject(new Error("the runtime was killed"));
    this.#waiting.clear();
  }

  /** Ends the runtime and removes a state folder that it made. `STEADFAST_LOG=1` shows what it wrote. */
  async stop() {
    if (process.env.STEADFAST_LOG) process.stderr.write(this.output());
    const host = this.#host;
    if (host) {
      const gone = once(host, "exit");
      const workerd = this.#workerd;
      // A frozen process would not hear that it is to end.
      this.thaw();
      host.send({ kind: "stop" });
      await gone;
      await until("workerd is gone", () => !alive(workerd));
      this.#forget();
    }
    if (this.#ownsState) rmSync(this.stateDir, { recursive: true, force: true, maxRetries: 5 });
  }

  /** Rows of a statement on D1, through the binding. */
  async d1(sql, ...params) {
    return this.#ask({ kind: "d1", sql, params });
  }

  /** What a session's object answers to a text, as `{status, headers, text}`: no Worker stands between. */
  async askObject(sessionKey, body) {
    return this.#ask({ kind: "object", binding: "SESSIONS", name: sessionKey, body });
  }

  #ask(question) {
    if (!this.#host) throw new Error("no runtime to ask");
    const id = this.#nextId++;
    const { promise, resolve: done, reject } = Promise.withResolvers();
    this.#waiting.set(id, { resolve: done, reject });
    this.#host.send({ id, ...question });
    return promise;
  }

  /** Runs the Worker's cron handler once. */
  async cron() {
    const answer = await fetch(`${this.url}/cdn-cgi/local/scheduled`);
    const body = await answer.text();
    if (!answer.ok) throw new Error(`scheduled: ${answer.status} ${body}`);
  }

  /** The database files of D1 or of one class of objects. */
  files(kind, className = this.#sessionClass()) {
    const dir = kind === "d1" ? join(this.stateDir, "d1", "miniflare-D1DatabaseObject") : this.#objects(className);
    if (!existsSync(dir)) return [];
    return readdirSync(dir)
      .filter((file) => file.endsWith(".sqlite") && file !== "metadata.sqlite")
      .map((file) => join(dir, file));
  }

  /** Forgets everything that objects of a class stored, their alarms included. The runtime must be down. */
  deleteObjects(className = this.#sessionClass()) {
    if (this.#host) throw new Error("storage is deleted while the runtime is down");
    rmSync(this.#objects(className), { recursive: true, force: true });
  }

  #sessionClass() {
    return this.#options.objects.SESSIONS;
  }

  /** The folder of the files of a class's objects. */
  #objects(className) {
    return join(this.stateDir, "do", `${this.#options.name}-${className}`);
  }

  /** Changes the objects' own files, as time or another version would have. The runtime must be down. */
  editObjects(edit, className = this.#sessionClass()) {
    if (this.#host) throw new Error("storage is edited while the runtime is down");
    for (const file of this.files("do", className)) {
      const database = new DatabaseSync(file);
      edit(database);
      database.close();
    }
  }

  /** Takes D1's write lock from outside; every write of the Worker fails until the returned function is called. */
  lockD1() {
    const [file] = this.files("d1");
    const database = new DatabaseSync(file);
    database.exec("BEGIN EXCLUSIVE");
    return () => {
      database.exec("ROLLBACK");
      database.close();
    };
  }

  /** Every table's row count in D1 and in every session object: what "nothing was stored" is judged by. */
  storedRows() {
    const counts = {};
    const classes = Object.values(this.#options.objects);
    for (const file of [...this.files("d1"), ...classes.flatMap((name) => this.files("do", name))]) {
      const rows = inspect(file, countRows);
      for (const [table, count] of Object.entries(rows)) counts[`${basename(file)}:${table}`] = count;
    }
    return counts;
  }
}

function countRows(database) {
  const counts = {};
  const tables = database
    .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf\\_%' ESCAPE '\\'")
    .all();
  for (const { name } of tables) {
    const { rows } = database.prepare(`SELECT count(*) AS rows FROM "${name}"`).get();
    if (rows > 0) counts[name] = rows;
  }
  return counts;
}

/**
 * Reads a database of a runtime through a copy of its files. A second connection to the original would take locks
 * that the runtime does not expect, while it recovers after a kill above all.
 */
export function inspect(file, read) {
  const dir = mkdtempSync(join(tmpdir(), "steadfast-look-"));
  try {
    const copy = join(dir, "copy.sqlite");
    // The log first: pages that a checkpoint moves in between are then in both copies, never in none.
    if (existsSync(`${file}-wal`)) copyFileSync(`${file}-wal`, `${copy}-wal`);
    copyFileSync(file, copy);
    const database = new DatabaseSync(copy);
    try {
      return read(database);
    } finally {
      database.close();
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** Starts a runtime. */
export async function startRuntime(options) {
  return new Runtime(options).start();
}

function alive(pid) {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // A killed process whose parent has not collected it yet still answers to signal 0.
  return !processes()
    .find((row) => row.pid === pid)
    ?.state.startsWith("Z");
}

function processes() {
  return execFileSync("ps", ["-A", "-o", "pid=,ppid=,state=,comm="], { encoding: "utf8" })
    .trim()
    .split("\n")
    .map((row) => row.trim().split(/\s+/))
    .map(([pid, parent, state, command]) => ({ pid: Number(pid), parent: Number(parent), state, command }));
}

function workersOf(hostPid) {
  return processes()
    .filter(
      (row) =>
        row.parent === hostPid && basename(row.command ?? "").startsWith("workerd") && row.state[0] !== "Z",
    )
    .map((row) => row.pid);
}

function workerdOf(hostPid) {
  const [pid] = workersOf(hostPid);
  if (!pid) throw new Error("no workerd below the runtime's host");
  return pid;
}
