// D1 throwing, hanging, losing its answers, locked, or late: a running turn does not notice, and D1 ends right.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Client } from "./client.mjs";
import { assertProblem, assertWholeLog, itemsOf } from "./expect.mjs";
import { FAULTS_BUILD, startRuntime, until } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars, transcript } from "./upstream.mjs";

let upstream, runtime, client;
before(async () => {
  upstream = await ScriptedUpstream.start();
  runtime = await startRuntime({
    build: FAULTS_BUILD,
    vars: scriptedVars(upstream, { SHIP_INTERVAL_MS: 100, WATCHDOG_MS: 1_000 }),
  });
  client = new Client(runtime);
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

async function breakD1(session, d1) {
  const answer = await client.post(`/__faults/${session}`, { d1 });
  assert.ok(answer.status < 300, `${answer.status} ${answer.text}`);
}

/** What D1 holds of a turn: its lines in order, its status, and the session's messages. */
async function inD1(session, turnIndex, on = runtime) {
  const runId = `dev:${session}:${turnIndex}`;
  const [run] = await on.d1("SELECT status, line_count FROM runs WHERE run_id = ?", runId);
  const rows = await on.d1(
    "SELECT first_seq, count, lines FROM stream_log WHERE run_id = ? ORDER BY first_seq",
    runId,
  );
  const messages = await on.d1(
    "SELECT role, status FROM messages WHERE session_key = ? AND turn_index = ? ORDER BY position",
    `dev:${session}`,
    turnIndex,
  );
  return {
    status: run?.status,
    lineCount: run?.line_count,
    rows,
    log: rows.map(({ lines }) => lines).join(""),
    messages,
  };
}

async function assertShipped(session, turnIndex, log, on = runtime) {
  await until(`D1 has ${session}/${turnIndex} whole`, async () => {
    const held = await inD1(session, turnIndex, on);
    return held.status === "completed" && held.log === log;
  });
  const held = await inD1(session, turnIndex, on);
  assert.equal(held.lineCount, log.split("\n").length - 1);
  let next = 0;
  for (const { first_seq, count } of held.rows) {
    assert.equal(first_seq, next, "rows join without gap or overlap");
    next += count;
  }
  assert.deepEqual(held.messages, [
    { role: "user", status: "complete" },
    { role: "assistant", status: "complete" },
  ]);
}

const SCRIPT = { lines: 80, delayMs: 10 };
// The script takes 0.8 s; a turn that waited for a D1 call that hangs would take its 10 s at least.
const UNDISTURBED_MS = 8_000;

describe("a turn whose D1 fails in its middle is untouched", { concurrency: 4 }, () => {
  for (const fault of ["throw", "hang", "lost", "slow"]) {
    test(fault, { timeout: 120_000 }, async () => {
      const session = `d1-${fault}`;
      await client.turn(session, { message: "before", metadata: { script: { lines: 2 } } });
      const begun = performance.now();
      const reading = await client.submit(session, { message: "go", metadata: { script: SCRIPT } });
      await reading.atLeast(10);
      await breakD1(session, fault);
      await reading.whole();
      assert.ok(performance.now() - begun < UNDISTURBED_MS, `took ${performance.now() - begun} ms`);
      assert.deepEqual(reading.lines, transcript(SCRIPT, { session, turnIndex: 1 }));
      const next = await client.turn(session, { message: "after", metadata: { script: { lines: 3 } } });
      assert.deepEqual(next.lines, transcript({ lines: 3 }, { session, turnIndex: 2 }));
      await breakD1(session, "ok");
      await client.post(`/v1/sessions/${session}/turns/1/poke`);
      await assertShipped(session, 1, reading.text);
      await assertShipped(session, 2, next.text);
      assert.equal(upstream.counts(`dev:${session}:1`).requests, 1);
    });
  }
});

test(
  "locked by another process in mid-turn, D1 catches up once it is free",
  { timeout: 120_000 },
  async () => {
    const session = "locked";
    await client.turn(session, { message: "before", metadata: { script: { lines: 2 } } });
    const reading = await client.submit(session, { message: "go", metadata: { script: SCRIPT } });
    await reading.atLeast(10);
    const unlock = runtime.lockD1();
    let next;
    try {
      await reading.whole();
      next = await client.turn(session, { message: "after", metadata: { script: { lines: 3 } } });
      assert.notEqual((await inD1(session, 1)).status, "completed", "the lock held");
    } finally {
      unlock();
    }
    assert.deepEqual(reading.lines, transcript(SCRIPT, { session, turnIndex: 1 }));
    await client.post(`/v1/sessions/${session}/turns/1/poke`);
    await assertShipped(session, 1, reading.text);
    await assertShipped(session, 2, next.text);
  },
);

test(
  "only the first touch of an empty object needs D1, and says that it does",
  { timeout: 60_000 },
  async () => {
    const session = "first-touch";
    await breakD1(session, "throw");
    const refused = await client.turn(session, { message: "go", turnIndex: 0 });
    const problem = assertProblem(refused, 503, "store_unavailable");
    assert.equal(problem.retryable, true);
    assert.equal(upstream.counts(`dev:${session}:0`).requests, 0);
    await breakD1(session, "ok");
    const taken = await client.turn(session, { message: "go", turnIndex: 0 });
    assert.equal(taken.headers["x-turn-mode"], "fresh");
    await assertShipped(session, 0, taken.text);
  },
);

test(
  "a turn of an object that dies while D1 is down is shipped by the next one",
  { timeout: 120_000 },
  async () => {
    const session = "dies-unshipped";
    await client.turn(session, { message: "before", metadata: { script: { lines: 2 } } });
    await breakD1(session, "throw");
    const reading = await client.turn(session, { message: "go", metadata: { script: { lines: 30 } } });
    await client.post(`/__faults/${session}`, { die: true }).catch(() => {});
    // Nobody asks again: the alarm of the reborn object has to do it.
    await assertShipped(session, 1, reading.text);
  },
);

test("the list of runs and the log of an erased object come out of D1", { timeout: 60_000 }, async () => {
  const session = "from-d1";
  const reading = await client.turn(session, { message: "go", metadata: { script: { lines: 20 } } });
  await assertShipped(session, 0, reading.text);
  const runs = itemsOf(await client.get(`/v1/runs?session=${session}`));
  assert.deepEqual(
    runs.map(({ turnIndex, status }) => [turnIndex, status]),
    [[0, "completed"]],
  );
  await runtime.kill();
  runtime.deleteObjects();
  await runtime.start();
  assert.equal((await client.log(session, 0)).text, reading.text);
});

test(
  "many objects that use an empty D1 first at the same time all get their schema",
  { timeout: 60_000 },
  async () => {
    const empty = await startRuntime({ vars: scriptedVars(upstream) });
    try {
      const caller = new Client(empty);
      const sessions = Array.from({ length: 20 }, (_, n) => `first-${n}`);
      const script = { lines: 3 };
      const readings = await Promise.all(
        sessions.map((session) => caller.turn(session, { message: "go", metadata: { script } })),
      );
      for (const [n, reading] of readings.entries())
        assert.deepEqual(reading.lines, transcript(script, { session: sessions[n] }));
      const versions = await empty.d1("SELECT version FROM schema_info ORDER BY version");
      assert.deepEqual(
        versions.map(({ version }) => version),
        versions.map((_, n) => n + 1),
        "each version once",
      );
      assert.equal((await caller.get("/healthz")).json().schemaVersion, versions.length);
    } finally {
      await empty.stop();
    }
  },
);

const DAY_MS = 86_400_000;

/** Lets a finished turn be `days` old, in D1 and in its object. */
async function age(on, runId, days) {
  const statement =
    "UPDATE runs SET finished_at = finished_at - ?, created_at = created_at - ? WHERE run_id = ?";
  await on.d1(statement, days * DAY_MS, days * DAY_MS, runId);
  await on.kill();
  on.editObjects((database) => {
    if (!database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'runs'").get()) return;
    database.prepare(statement).run(days * DAY_MS, days * DAY_MS, runId);
  });
  await on.start();
}

test(
  "lines leave D1 and then the object when their days are over; the rest stays",
  { timeout: 120_000 },
  async () => {
    const session = "aged";
    const runId = `dev:${session}:0`;
    const aging = await startRuntime({
      vars: scriptedVars(upstream, { SHIP_INTERVAL_MS: 100, D1_LOG_DAYS: 7, RETENTION_DAYS: 30 }),
    });
    try {
      const caller = new Client(aging);
      const reading = await caller.turn(session, { message: "go", metadata: { script: { lines: 20 } } });
      const next = await caller.turn(session, { message: "and", metadata: { script: { lines: 2 } } });
      await assertShipped(session, 0, reading.text, aging);
      await assertShipped(session, 1, next.text, aging);

      await age(aging, runId, 8);
      await until(
        "D1's copy is gone",
        async () => {
          await aging.cron();
          return (await inD1(session, 0, aging)).log === "";
        },
        { everyMs: 200 },
      );
      assert.equal((await inD1(session, 1, aging)).log, next.text, "a younger turn stays");
      assert.equal((await caller.log(session, 0)).text, reading.text, "the object still has it");

      await age(aging, runId, 30);
      const expired = await until(
        "the object's log is gone",
        async () => {
          await caller.post(`/v1/sessions/${session}/turns/0/poke`);
          const answer = await caller.log(session, 0);
          return answer.status === 410 && answer;
        },
        { everyMs: 200 },
      );
      assertProblem(expired, 410, "log_expired");
      assertProblem(await caller.turn(session, { message: "go", turnIndex: 0 }), 410, "log_expired");
      assert.equal((await caller.get(`/v1/sessions/${session}/turns/0`)).json().status, "completed");
      const messages = itemsOf(await caller.get(`/v1/sessions/${session}/messages`));
      assert.equal(messages.length, 4, "the transcript stays");
      assert.equal((await caller.log(session, 1)).text, next.text);
    } finally {
      await aging.stop();
    }
  },
);

test("a frozen instance that wakes up again undoes nothing", { timeout: 120_000 }, async () => {
  // Two runtimes whose D1 is one folder and whose objects are not: the same object alive twice.
  const root = mkdtempSync(join(tmpdir(), "steadfast-split-"));
  for (const side of ["old", "new"]) mkdirSync(join(root, side));
  mkdirSync(join(root, "d1"));
  for (const side of ["old", "new"]) symlinkSync(join(root, "d1"), join(root, side, "d1"));
  const vars = scriptedVars(upstream, { SHIP_INTERVAL_MS: 100, WATCHDOG_MS: 1_000 });
  const old = await startRuntime({ vars, stateDir: join(root, "old") });
  const fresh = await startRuntime({ vars, stateDir: join(root, "new") });
  try {
    const session = "split";
    const script = { lines: 150, delayMs: 20 };
    const zombie = await new Client(old).submit(session, { message: "go", metadata: { script } });
    await zombie.atLeast(20);
    await until("D1 knows the turn", async () => (await inD1(session, 0, fresh)).status === "running");
    await old.freezeUnlocked();
    const log = await new Client(fresh).log(session, 0);
    assert.deepEqual(log.lines, transcript(script, { session }));
    await assertShipped(session, 0, log.text, fresh);
    const next = await new Client(fresh).turn(session, {
      message: "next",
      metadata: { script: { lines: 5 } },
    });
    await assertShipped(session, 1, next.text, fresh);
    old.thaw();
    // The zombie's watchers are cut or end; they never see a line that differs from the log.
    await zombie.done;
    assert.ok(log.text.startsWith(zombie.lines.map((line) => `${line}\n`).join("")));
    const before = JSON.stringify([await inD1(session, 0, fresh), await inD1(session, 1, fresh)]);
    await new Client(old).post(`/v1/sessions/${session}/turns/0/poke`);
    await until("the zombie had its say", () => /replaced/i.test(old.output()));
    assert.equal(JSON.stringify([await inD1(session, 0, fresh), await inD1(session, 1, fresh)]), before);
    assert.equal(upstream.counts(`dev:${session}:0`).starts, 1);
    assertWholeLog((await new Client(fresh).log(session, 0)).lines);
  } finally {
    await old.stop();
    await fresh.stop();
    rmSync(root, { recursive: true, force: true });
  }
});
