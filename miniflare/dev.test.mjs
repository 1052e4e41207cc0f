// `make dev` as a newcomer runs it: configuration by environment, a kill in mid-sentence, a start on the same
// state, and nothing left behind by Ctrl-C, which is no error.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, test } from "node:test";
import { Client, PersistentClient } from "./client.mjs";
import { assertWholeLog } from "./expect.mjs";
import { until } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars, transcript } from "./upstream.mjs";

const ROOT = resolve(import.meta.dirname, "..");

let upstream, stateDir, port;
before(async () => {
  upstream = await ScriptedUpstream.start();
  stateDir = await mkdtemp(join(tmpdir(), "steadfast-dev-"));
  port = await freePort();
});
after(async () => {
  await upstream?.close();
  await rm(stateDir, { recursive: true, force: true });
});

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((listening) => server.once("listening", listening));
  const { port: free } = server.address();
  await new Promise((closed) => server.close(closed));
  return free;
}

/** A server in a process group of its own, as a terminal would start it. */
async function serve(command, args, vars) {
  const env = { ...process.env, ...vars };
  const child = spawn(command, args, { cwd: ROOT, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  // GNU make that is interrupted itself dies by the signal, whatever its command ends with.
  const exited = new Promise((done) => child.once("exit", (code, signal) => done({ quiet: code === 0 || signal === "SIGINT", output })));
  const url = `http://127.0.0.1:${port}`;
  const healthy = () => fetch(`${url}/healthz`, { signal: AbortSignal.timeout(1_000) }).then((a) => a.ok, () => false);
  await until(`${command} answers: ${output}`, async () => child.exitCode !== null || (await healthy()), { everyMs: 100 });
  assert.equal(child.exitCode, null, output);
  return { url, group: child.pid, exited };
}

const place = () => ({ PORT: String(port), STATE_DIR: stateDir });
const makeDev = (vars) => serve("make", ["dev"], { ...place(), ...vars });

/** The living processes of a group, by what the system says of each. */
function members(group) {
  const alive = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const [, name, state, pgrp] = /^\d+ \((.*)\) (\S) \d+ (\d+)/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8"));
      if (Number(pgrp) === group && state !== "Z") alive.push({ pid: Number(pid), name });
    } catch {
      // It ended while we looked.
    }
  }
  return alive;
}

/** SIGKILL for every workerd of a group, wrangler's proxy included. */
function killAll(group) {
  for (const { pid, name } of members(group)) if (name === "workerd") process.kill(pid, "SIGKILL");
}

test(
  "make dev: the environment reaches the Worker, a turn survives a kill and a new start, Ctrl-C leaves nothing",
  { timeout: 180_000, skip: process.platform !== "linux" && "reads /proc" },
  async () => {
    const vars = { ...scriptedVars(upstream), UPSTREAM_KEY: "dev-key", WATCHDOG_MS: "1000" };
    const script = { lines: 150, delayMs: 20 };
    const first = await makeDev(vars);
    const where = { url: first.url };
    const reader = new PersistentClient(where, "dev-kill", 0);
    const finished = reader.run({ message: "go", metadata: { script } });
    finished.catch(() => {});
    await until("the middle of the turn", () => reader.lines.length > 30);
    killAll(first.group);
    process.kill(-first.group, "SIGINT");
    const { quiet, output } = await first.exited;
    assert.ok(quiet && !output.includes("***"), output);
    await until("nothing is left", () => members(first.group).length === 0, { ms: 10_000 });

    const second = await makeDev(vars);
    try {
      assert.deepEqual(await finished, transcript(script, { session: "dev-kill" }));
      const counts = upstream.counts("dev:dev-kill:0");
      assert.equal(counts.starts, 1);
      assert.equal(counts.headers[0].authorization, "Bearer dev-key");
      const demo = await new Client(where).post("/v1/sessions/other/turns", { message: "x", upstream: "none" });
      assert.equal(demo.status, 400, "only configured upstreams can be named");

      const through = new PersistentClient(where, "dev-through", 0);
      const whole = through.run({ message: "go", metadata: { script } });
      await until("the middle of the turn", () => through.lines.length > 30);
      killAll(second.group);
      assert.deepEqual(await whole, transcript(script, { session: "dev-through" }));
      const run = (await new Client(where).get("/v1/sessions/dev-through/turns/0")).json();
      assert.equal(run.epoch, 2, "one kill is one takeover");
    } finally {
      process.kill(-second.group, "SIGINT");
      await second.exited;
    }
    await until("nothing is left", () => members(second.group).length === 0, { ms: 10_000 });
    const kill = spawnSync("make", ["kill"], { cwd: ROOT, env: { ...process.env, ...place() }, encoding: "utf8" });
    assert.notEqual(kill.status, 0);
    assert.match(kill.stderr, /no `make dev` runs at port/);
  },
);

test("a plain wrangler dev works too, with what .dev.vars says", { timeout: 120_000 }, async () => {
  const quiet = { WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false" };
  const args = ["dev", "--ip", "127.0.0.1", "--port", String(port), "--persist-to", stateDir];
  const server = await serve("wrangler", args, quiet);
  try {
    const turn = { message: "hello", metadata: { demo: { words: 5, delayMs: 0 } } };
    assertWholeLog((await new Client({ url: server.url }).turn("plain", turn)).lines);
  } finally {
    process.kill(-server.group, "SIGINT");
    await server.exited;
  }
});
