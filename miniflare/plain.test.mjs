// examples/plain-worker in real workerd: turns straight on D1, without objects, and two processes that race for one.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Client, PersistentClient } from "./client.mjs";
import { assertPrefix, assertProblem, assertStreamHead } from "./expect.mjs";
import { inspect, PLAIN_WORKER, startRuntime, until } from "./harness.mjs";
import { ScriptedUpstream, transcript } from "./upstream.mjs";

const LEASE_MS = 1_500;
const SCRIPT = { lines: 150, delayMs: 20 };

let upstream;
before(async () => {
  upstream = await ScriptedUpstream.start();
});
after(() => upstream?.close());

const plain = (options = {}) =>
  startRuntime({
    root: PLAIN_WORKER,
    build: join(PLAIN_WORKER, "build"),
    ...options,
    vars: { AUTH_MODE: "none", UPSTREAM_URL: upstream.url, LEASE_MS, ...options.vars },
  });

/** The run's row and its log rows, out of D1's file. */
function stored(runtime, runId) {
  return inspect(runtime.files("d1")[0], (database) => ({
    run: database.prepare("SELECT * FROM runs WHERE run_id = ?").get(runId),
    rows: database
      .prepare("SELECT first_seq, count, epoch, lines FROM stream_log WHERE run_id = ? ORDER BY first_seq")
      .all(runId),
    messages: database
      .prepare("SELECT role, status FROM messages WHERE session_key = ? ORDER BY turn_index, position")
      .all(runId.slice(0, runId.lastIndexOf(":"))),
  }));
}

/** One log, each of its rows written under what was the highest epoch then. */
function assertOneLog({ run, rows, messages }, lines) {
  let seq = 0;
  let epoch = 0;
  for (const row of rows) {
    assert.equal(row.first_seq, seq, "rows join without gap or overlap");
    assert.ok(row.epoch >= epoch, `a row of epoch ${row.epoch} behind one of ${epoch}`);
    seq += row.count;
    epoch = row.epoch;
  }
  assert.ok(epoch <= run.epoch);
  assert.equal(rows.map(({ lines }) => lines).join(""), lines.map((line) => `${line}\n`).join(""));
  assert.equal(run.status, "completed");
  assert.equal(run.line_count, lines.length);
  assert.deepEqual(
    messages.map(({ role, status }) => [role, status]),
    [
      ["user", "complete"],
      ["assistant", "complete"],
    ],
  );
}

describe("one Worker", () => {
  let runtime, client;
  before(async () => {
    runtime = await plain();
    client = new Client(runtime);
  });
  after(() => runtime?.stop());

  test("a turn streams to its end and replays byte for byte", async () => {
    const session = "plain-turn";
    const turn = { message: "go", turnIndex: 0, metadata: { script: { lines: 60, delayMs: 20 } } };
    const first = await client.turn(session, turn);
    assertStreamHead(first, { session, mode: "fresh" });
    assert.deepEqual(first.lines, transcript(turn.metadata.script, { session }));
    assert.ok(first.arrivals.length > 3, "lines come as they are made");
    const before = stored(runtime, `dev:${session}:0`);
    assertOneLog(before, first.lines);
    const again = await client.turn(session, turn);
    assertStreamHead(again, { session, mode: "replayed" });
    assert.ok(again.bytes.equals(first.bytes));
    assert.deepEqual(stored(runtime, `dev:${session}:0`), before, "a replay writes nothing");
    const tail = await client.log(session, 0, { after: 40 });
    assert.deepEqual(tail.lines, first.lines.slice(41));
    assert.equal(upstream.counts(`dev:${session}:0`).requests, 1);
  });

  test("a second viewer reads along, and a client that leaves takes nothing along", async () => {
    const session = "plain-join";
    const turn = { message: "go", turnIndex: 0, metadata: { script: { lines: 100, delayMs: 20 } } };
    const first = await client.submit(session, turn);
    await first.atLeast(10);
    const second = await client.submit(session, turn);
    assertStreamHead(second, { session, mode: "joined" });
    first.leave();
    await second.whole();
    assert.deepEqual(second.lines, transcript(turn.metadata.script, { session }));
    assert.equal(upstream.counts(`dev:${session}:0`).starts, 1);
    assertOneLog(stored(runtime, `dev:${session}:0`), second.lines);
  });

  test("what is refused is refused before the head", async () => {
    const session = "plain-refused";
    await client.turn(session, { message: "go", turnIndex: 0, metadata: { script: { lines: 2 } } });
    assertProblem(await client.turn(session, { message: "other", turnIndex: 0 }), 409, "manifest_mismatch");
    assertProblem(await client.turn(session, { message: "go", turnIndex: 5 }), 409, "turn_out_of_order");
    assertProblem(await client.turn("a:b", { message: "go" }), 400, "invalid_request");
    assertProblem(await client.log("nobody", 0), 404, "not_found");
    assertProblem(await client.log(session, 0, { after: 99 }), 400, "cursor_out_of_range");
    assertProblem(await client.get(`/v1/sessions/${session}`), 404, "not_found");
  });

  test("a cancel ends the turn, and the upstream is told", async () => {
    const session = "plain-cancel";
    const script = { endless: true, lines: 400, delayMs: 20 };
    const reading = await client.submit(session, { message: "go", turnIndex: 0, metadata: { script } });
    await reading.atLeast(5);
    assert.equal((await client.post(`/v1/sessions/${session}/turns/0/cancel`)).status, 202);
    await reading.whole();
    assert.match(reading.lines.at(-1), /session\.run\.cancelled/);
    await until("the upstream knows", () => upstream.counts(`dev:${session}:0`).cancels === 1);
  });

  test("a killed turn goes on when its lease is over, for a client or for nobody", { timeout: 120_000 }, async () => {
    for (const alone of [false, true]) {
      const session = `plain-kill-${alone}`;
      const turn = { message: "go", turnIndex: 0, metadata: { script: SCRIPT } };
      const expected = transcript(SCRIPT, { session });
      const reader = new PersistentClient(runtime, session, 0);
      const finished = alone ? client.submit(session, turn) : reader.run(turn);
      await until("lines are durable", () => stored(runtime, `dev:${session}:0`).rows.length > 2);
      await runtime.killWorkerdOnly();
      if (alone) {
        await finished.then((reading) => reading.done).catch(() => {});
        // Cron looks for turns that nobody has looked after for a minute.
        await runtime.d1("UPDATE runs SET wake_at = wake_at - 120000 WHERE run_id = ?", `dev:${session}:0`);
        const over = () => stored(runtime, `dev:${session}:0`).run.status === "completed";
        await until("cron has finished it", async () => over() || (await runtime.cron(), false), { everyMs: 300 });
      } else {
        assert.deepEqual(await finished, expected);
        for (const connection of reader.connections) assertPrefix(connection, expected);
      }
      assertOneLog(stored(runtime, `dev:${session}:0`), expected);
      assert.equal(upstream.counts(`dev:${session}:0`).starts, 1);
    }
  });
});

/** Two workerd processes over one D1: the first drains, stands still past its lease, and goes on when `wakes` says so. */
async function race(session, wakes) {
  const root = mkdtempSync(join(tmpdir(), "steadfast-plain-"));
  mkdirSync(join(root, "d1"));
  for (const side of ["old", "new"]) {
    mkdirSync(join(root, side));
    symlinkSync(join(root, "d1"), join(root, side, "d1"));
  }
  const old = await plain({ stateDir: join(root, "old") });
  const fresh = await plain({ stateDir: join(root, "new") });
  try {
    const runId = `dev:${session}:0`;
    const turn = { message: "go", turnIndex: 0, metadata: { script: SCRIPT } };
    const zombie = await new Client(old).submit(session, turn);
    await zombie.atLeast(20);
    await old.freezeUnlocked();
    const stood = stored(fresh, runId);
    assert.equal(stood.run.status, "running");
    const reader = new PersistentClient(fresh, session, 0);
    const finished = reader.run(turn);
    await until("the other took over", () => stored(fresh, runId).run.epoch === 2);
    await wakes({ finished, reader, runId, fresh });
    const before = stored(fresh, runId);
    old.thaw();
    const lines = await finished;
    await until("the zombie was told", () => /"why":"fenced"/.test(old.output()));
    await zombie.done.catch(() => {});
    assert.deepEqual(lines, transcript(SCRIPT, { session }));
    for (const connection of reader.connections) assertPrefix(connection, lines);
    const held = stored(fresh, runId);
    assertOneLog(held, lines);
    assert.equal(held.run.epoch, 2);
    const epochs = held.rows.map(({ epoch }) => epoch);
    assert.equal(epochs.filter((epoch) => epoch === 1).length, stood.rows.length, "it wrote nothing more");
    assert.ok(epochs.includes(2));
    if (before.run.status === "completed") assert.deepEqual(held, before);
    const seen = zombie.lines.map((line) => `${line}\n`).join("");
    assert.ok(lines.map((line) => `${line}\n`).join("").startsWith(seen), "its client saw no other line");
    assert.equal(upstream.counts(runId).starts, 1);
  } finally {
    await old.stop();
    await fresh.stop();
    rmSync(root, { recursive: true, force: true });
  }
}

describe("two processes over one D1, one of them stopped past its lease", () => {
  test("it goes on while the other drains", { timeout: 120_000 }, () =>
    race("race-middle", ({ runId, fresh }) =>
      until("the other has written", () => stored(fresh, runId).rows.some(({ epoch }) => epoch === 2)),
    ),
  );

  test("it goes on when all is over", { timeout: 120_000 }, () =>
    race("race-over", ({ finished }) => finished),
  );
});
