// Cancel, retry, replace, delete, poke: steering a turn from outside.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Client } from "./client.mjs";
import { assertProblem, assertWholeLog, itemsOf } from "./expect.mjs";
import { FAULTS_BUILD, SEED, seeded, startRuntime, until } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars, transcript } from "./upstream.mjs";

let upstream, runtime, client;
before(async () => {
  upstream = await ScriptedUpstream.start();
  runtime = await startRuntime({
    build: FAULTS_BUILD,
    vars: scriptedVars(upstream, { SHIP_INTERVAL_MS: 200, WATCHDOG_MS: 1_000 }),
  });
  client = new Client(runtime);
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

const ENDLESS = { lines: 4, endless: true };
const place = (session, turnIndex = 0) => `/v1/sessions/${session}/turns/${turnIndex}`;

async function running(session, script = ENDLESS, more = {}) {
  const reading = await client.submit(session, { message: "go", metadata: { script }, ...more });
  await reading.atLeast(script.lines + 1);
  return reading;
}

const told = (executionId) =>
  until(`${executionId} is told of its cancel`, () => upstream.counts(executionId).cancels > 0);

test("a cancel ends the turn, tells the upstream, and is idempotent", async () => {
  const session = "plain";
  const reading = await running(session);
  const first = await client.post(`${place(session)}/cancel`, { reason: "changed my mind" });
  assert.equal(first.status, 202, first.text);
  await reading.whole();
  const parsed = assertWholeLog(reading.lines);
  assert.deepEqual(parsed.at(-1), {
    seq: 5,
    type: "session.run.cancelled",
    data: { sessionId: session, reason: "changed my mind" },
  });
  assert.deepEqual(reading.lines.slice(0, 5), transcript({ lines: 4 }, { session }).slice(0, 5));
  await told("dev:plain:0");
  const again = await client.post(`${place(session)}/cancel`);
  assert.equal(again.status, 200, again.text);
  assert.equal((await client.log(session, 0)).text, reading.text);
  assert.equal((await client.get(place(session))).json().status, "cancelled");
  const messages = itemsOf(await client.get(`/v1/sessions/${session}/messages`));
  assert.deepEqual(
    messages.map(({ role, status }) => [role, status]),
    [
      ["user", "complete"],
      ["assistant", "partial"],
    ],
  );
});

test("a cancel of a turn that is over changes nothing", async () => {
  const reading = await client.turn("over", { message: "go", metadata: { script: { lines: 2 } } });
  assert.equal((await client.post(`${place("over")}/cancel`)).status, 200);
  assert.equal((await client.log("over", 0)).text, reading.text);
  assert.equal(upstream.counts("dev:over:0").cancels, 0);
});

test("racing the natural end gives one terminal line, and the run agrees with it", async (t) => {
  const random = seeded(SEED);
  const outcomes = { completed: 0, cancelled: 0 };
  for (let round = 0; round < 16; round++) {
    const session = `race-${round}`;
    const reading = await client.submit(session, {
      message: "go",
      metadata: { script: { lines: 20, delayMs: 3 } },
    });
    // The natural end is at about 66 ms; the spread covers both winners.
    await pause(30 + random() * 70);
    const answer = await client.post(`${place(session)}/cancel`);
    assert.ok([200, 202].includes(answer.status), answer.text);
    await reading.whole();
    const outcome = assertWholeLog(reading.lines).at(-1).type.replace("session.run.", "");
    outcomes[outcome] += 1;
    assert.equal((await client.get(place(session))).json().status, outcome);
    assert.equal((await client.log(session, 0)).text, reading.text);
    if (answer.status === 200) assert.equal(outcome, "completed");
  }
  t.diagnostic(`SEED=${SEED} ${JSON.stringify(outcomes)}`);
});

test("a cancel during the start of a turn ends it", async () => {
  const session = "early";
  upstream.plan(session, { lines: 3, connections: Array(50).fill({ status: 503 }) });
  const reading = await client.submit(session, { message: "go" });
  assert.equal((await client.post(`${place(session)}/cancel`)).status, 202);
  await reading.whole();
  assert.equal(assertWholeLog(reading.lines).at(-1).type, "session.run.cancelled");
});

test("disconnecting is never a cancel", async () => {
  const session = "walked-off";
  const script = { lines: 60, delayMs: 10 };
  const reading = await client.submit(session, { message: "go", metadata: { script } });
  await reading.atLeast(5);
  reading.leave();
  await client.finished(session, 0);
  assert.deepEqual((await client.log(session, 0)).lines, transcript(script, { session }));
  assert.equal(upstream.counts(`dev:${session}:0`).cancels, 0);
});

test("the upstream hears of it although it answered the first time with 503", async () => {
  const session = "deaf-once";
  upstream.plan(`cancel dev:${session}:0`, [{ status: 503 }]);
  const reading = await running(session);
  await client.post(`${place(session)}/cancel`);
  await reading.whole();
  await until("a second call", () => upstream.counts(`dev:${session}:0`).cancels >= 2);
});

test("the upstream hears of it although the object dies right after", async () => {
  const session = "dies-after";
  const reading = await running(session);
  upstream.plan(`cancel dev:${session}:0`, [{ status: 503 }]);
  assert.equal((await client.post(`${place(session)}/cancel`)).status, 202);
  await client.post(`/__faults/${session}`, { die: true }).catch(() => {});
  await until("told after its death", () => upstream.counts(`dev:${session}:0`).cancels >= 2);
  const log = await client.log(session, 0);
  const parsed = assertWholeLog(log.lines);
  assert.equal(parsed.at(-1).type, "session.run.cancelled");
  assert.ok(log.text.startsWith(reading.lines.map((line) => `${line}\n`).join("")));
});

test(
  "the upstream hears of it although the whole runtime dies right after",
  { timeout: 60_000 },
  async () => {
    const session = "killed-after";
    await running(session);
    upstream.plan(`cancel dev:${session}:0`, [{ status: 503 }]);
    assert.equal((await client.post(`${place(session)}/cancel`)).status, 202);
    await runtime.restart();
    await until("told after the restart", () => upstream.counts(`dev:${session}:0`).cancels >= 2);
    assert.equal(assertWholeLog((await client.log(session, 0)).lines).at(-1).type, "session.run.cancelled");
  },
);

test("ifRunning=cancel puts the new turn in the place of the running one", async () => {
  const session = "replace";
  const old = await running(session);
  const fresh = await client.turn(session, {
    message: "instead",
    ifRunning: "cancel",
    metadata: { script: { lines: 2 } },
  });
  assert.equal(fresh.headers["x-turn-mode"], "fresh");
  assert.deepEqual(fresh.lines, transcript({ lines: 2 }, { session, turnIndex: 1 }));
  await old.whole();
  assert.equal(assertWholeLog(old.lines).at(-1).type, "session.run.cancelled");
  await told(`dev:${session}:0`);
});

test("retryOf runs a failed turn's message again, and the history skips that turn", async () => {
  const session = "retry";
  await client.turn(session, { message: "first", metadata: { script: { lines: 1 } } });
  const failed = await client.turn(session, {
    message: "second",
    metadata: { script: { lines: 1, fails: "no" } },
  });
  assert.equal(assertWholeLog(failed.lines).at(-1).type, "session.run.failed");
  const body = { retryOf: 1, turnIndex: 2 };
  const again = await client.turn(session, body);
  assert.equal(again.headers["x-execution-id"], `dev:${session}:2`);
  const [asked] = upstream.counts(`dev:${session}:2`).bodies;
  assert.equal(asked.message, "second");
  assert.deepEqual(
    asked.history.map(({ role, content }) => [role, role === "user" ? content : ""]),
    [
      ["user", "first"],
      ["assistant", ""],
    ],
  );
  assert.equal((await client.turn(session, body)).headers["x-turn-mode"], "replayed");
  for (const nothing of [0, 7]) {
    const refused = await client.turn(session, { retryOf: nothing });
    // Turn 0 succeeded and turn 7 was never there: neither can be run again.
    assert.ok(refused.status >= 400 && refused.status < 500, refused.text);
    assertProblem(refused, refused.status, refused.json().code);
  }
  assert.equal((await client.get(`/v1/sessions/${session}`)).json().turnCount, 3);
});

test("DELETE cancels, erases, and never gives an index again", async () => {
  const session = "erased";
  await client.turn(session, { message: "one", metadata: { script: { lines: 2 } } });
  const reading = await running(session);
  const rows = (table, column) => runtime.d1(`SELECT 1 FROM ${table} WHERE ${column} LIKE 'dev:${session}%'`);
  await until("D1 knows both turns", async () => (await rows("runs", "run_id")).length === 2);
  assert.equal((await client.call("DELETE", `/v1/sessions/${session}`)).status, 202);
  await reading.done;
  for (const path of ["", "/turns", "/turns/0", "/turns/1/stream", "/messages"]) {
    assertProblem(await client.get(`/v1/sessions/${session}${path}`), 404, "not_found");
  }
  await told(`dev:${session}:1`);
  await until("D1 forgets", async () => {
    const left = await Promise.all([
      rows("runs", "run_id"),
      rows("stream_log", "run_id"),
      rows("messages", "session_key"),
    ]);
    return left.every((found) => found.length === 0);
  });
  const [tombstone] = await runtime.d1(
    "SELECT turn_count, deleted_at FROM sessions WHERE session_key = ?",
    `dev:${session}`,
  );
  assert.equal(tombstone.turn_count, 2);
  assert.ok(tombstone.deleted_at > 0);
  assertProblem(await client.get(`/v1/sessions/${session}`), 404, "not_found");
  const reused = await client.turn(session, { message: "other", turnIndex: 0 });
  assert.notEqual(reused.status, 200, "an index of a deleted session is never given again");
  const fresh = await client.turn(session, { message: "again" });
  // Whether a deleted session may begin anew or not, turn 0 and 1 are gone for ever.
  if (fresh.status === 200) assert.equal(fresh.headers["x-execution-id"], `dev:${session}:2`);
  else assertProblem(fresh, 404, "not_found");
});

test("a poke looks at a run and changes nothing that is well", async () => {
  const session = "poked";
  const script = { lines: 40, delayMs: 10 };
  const reading = await client.submit(session, { message: "go", metadata: { script } });
  await reading.atLeast(5);
  for (let n = 0; n < 5; n++) assert.equal((await client.post(`${place(session)}/poke`)).status, 202);
  await reading.whole();
  assert.deepEqual(reading.lines, transcript(script, { session }));
  assert.equal((await client.post(`${place(session)}/poke`)).status, 202);
  assert.equal((await client.log(session, 0)).text, reading.text);
  assert.equal(upstream.counts(`dev:${session}:0`).starts, 1);
});
