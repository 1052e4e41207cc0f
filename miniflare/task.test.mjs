// A durable task as a turn: its stages, its wait, its approval, and SIGKILL at seeded moments of all that.
//
// Owns the proof in real workerd that no step is recorded twice and no line told twice, whenever the approval
// comes, and that a waiting turn is woken by its alarm and goes on from D1.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Client, PersistentClient } from "./client.mjs";
import { assertPrefix, assertProblem, assertStreamHead, assertWholeLog, itemsOf, textOf } from "./expect.mjs";
import { SEED, seeded, startRuntime, until } from "./harness.mjs";

const ROUNDS = 10;
const UPSTREAM = "demo,task:research";
const SIX = "1 + 1; 2 * 3; 9 - 4; 8 / 2; 7 * 7; 10 - 1";
const FOUND =
  "6 found:\n" +
  ["1 + 1 = 2", "2 * 3 = 6", "9 - 4 = 5", "8 / 2 = 4", "7 * 7 = 49", "10 - 1 = 9"]
    .map((found) => `- ${found} (calculator)\n`)
    .join("");
const TOO_LATE = "No approval came in time.\n";

let runtime, client;
before(async () => {
  runtime = await startRuntime({ vars: { AUTH_MODE: "none", UPSTREAM, WATCHDOG_MS: 500, SHIP_INTERVAL_MS: 200 } });
  client = new Client(runtime);
});
after(() => runtime?.stop());

const research = (message, options = {}) => ({
  message,
  upstream: "task:research",
  metadata: { research: options },
});
const turnPath = (session) => `/v1/sessions/${session}/turns/0`;
const eventPath = (session, key = "approval") => `${turnPath(session)}/events/${key}`;
const typesOf = (parsed) => parsed.map(({ type }) => type);
const withStatus = (session, status) =>
  until(`${session} is ${status}`, async () => {
    const reading = await client.get(turnPath(session)).catch(() => null);
    if (reading?.status !== 200) return null;
    const run = reading.json();
    return run.status === status ? run : null;
  });

/** Approves until that is answered; a cut or a 503 is asked again. */
async function approve(session) {
  return until(`${session} takes its approval`, async () => {
    const reading = await client.post(eventPath(session), true).catch(() => null);
    return reading && [200, 201].includes(reading.status) ? reading : null;
  });
}

/** Each line once, nothing of a step behind its end, each wait over before the turn is. */
function assertToldOnce(lines) {
  const parsed = assertWholeLog(lines);
  const told = lines.map((line) => line.replace(/^\{"seq":\d+,/, ""));
  assert.equal(new Set(told).size, told.length, lines.join("\n"));
  const ended = new Set();
  for (const { type, data } of parsed) {
    if (!type.startsWith("step.")) continue;
    assert.ok(!ended.has(data.step), `${type} of ${data.step} behind its end:\n${lines.join("\n")}`);
    if (type === "step.completed") ended.add(data.step);
  }
  const waits = typesOf(parsed).filter((type) => type === "session.run.suspended").length;
  const awakened = typesOf(parsed).filter((type) => type === "session.run.awakened").length;
  assert.equal(waits, awakened);
  return parsed;
}

/** A research whose answer is exactly this. */
function assertAnswered(lines, answer, results) {
  const parsed = assertToldOnce(lines);
  assert.equal(parsed.at(-1).type, "session.run.completed");
  assert.equal(textOf(parsed), answer);
  assert.equal(parsed.at(-2).data.finalText, answer);
  const ids = parsed.filter(({ type }) => type === "tool.result").map(({ data }) => data.id);
  assert.deepEqual(
    ids.toSorted(),
    Array.from({ length: results }, (_, n) => `call-${n}`),
  );
}

test("a research streams its stages, waits for its approval, and answers", async () => {
  const session = "calm";
  const reading = await client.submit(session, { ...research(SIX), turnIndex: 0 });
  assertStreamHead(reading, { session, mode: "fresh" });
  const run = await withStatus(session, "suspended");
  assert.equal(run.turnIndex, 0);
  const absent = await client.get(eventPath(session));
  assertProblem(absent, 404, "not_found");
  const first = await client.post(eventPath(session), { approved: true });
  assert.equal(first.status, 201);
  assert.equal(first.json().accepted, true);
  await reading.whole();
  assertAnswered(reading.lines, FOUND, 6);
  const again = await client.post(eventPath(session), false);
  assert.equal(again.status, 200);
  assert.deepEqual(again.json(), { accepted: false, record: first.json().record });
  assert.deepEqual((await client.get(eventPath(session))).json(), first.json().record);
  assertProblem(await client.post(eventPath(session, "other"), 1), 409, "turn_finished");
  const steps = itemsOf(await client.get(`${turnPath(session)}/steps`));
  assert.deepEqual(
    steps.map(({ status }) => status),
    steps.map(() => "completed"),
  );
  // The turn's own, the plan, the wait, the answer, and the six tools.
  assert.equal(steps.length, 10);
  const messages = itemsOf(await client.get(`/v1/sessions/${session}/messages`));
  assert.deepEqual(
    messages.map(({ role, content, status }) => ({ role, content, status })),
    [
      { role: "user", content: SIX, status: "complete" },
      { role: "assistant", content: FOUND, status: "complete" },
    ],
  );
  const replayed = await client.turn(session, { ...research(SIX), turnIndex: 0 });
  assert.equal(replayed.headers["x-turn-mode"], "replayed");
  assert.equal(replayed.text, reading.text);
});

test(`a research survives ${ROUNDS} kills, its approval before, between and after`, { timeout: 300_000 }, async (t) => {
  const random = seeded(SEED);
  t.diagnostic(`SEED=${SEED}`);
  for (let round = 0; round < ROUNDS; round++) {
    const session = `killed-${round}`;
    const when = ["before", "between", "after"][round % 3];
    const reader = new PersistentClient(runtime, session, 0);
    const finished = reader.run(research(SIX, { paceMs: 300 }));
    // The tools take 300 ms; behind them the turn waits, or answers when it was approved before.
    const moment = random() * 800;
    const approved = when === "before" ? approve(session) : null;
    await pause(moment);
    const seen = reader.lines.length;
    if (round % 4 === 0) await runtime.kill();
    else await runtime.killWorkerdOnly();
    const between = when === "between" ? approve(session) : null;
    if (round % 4 === 0) {
      await pause(random() * 200);
      await runtime.start();
    }
    await approved;
    await between;
    if (when === "after") {
      // A second kill finds the turn suspended.
      await withStatus(session, "suspended");
      if (round % 2 === 0) await runtime.killWorkerdOnly();
      await approve(session);
    }
    const lines = await finished;
    const what = `SEED=${SEED} round ${round}: ${when}, killed after ${Math.round(moment)} ms and ${seen} lines`;
    t.diagnostic(what);
    assertAnswered(lines, FOUND, 6);
    for (const connection of reader.connections) assertPrefix(connection, lines);
    assert.deepEqual((await client.log(session, 0)).lines, lines, what);
  }
});

test("the alarm alone wakes a turn at its deadline after a restart", { timeout: 60_000 }, async () => {
  const session = "alone";
  const reading = await client.submit(session, research("1 + 1", { approvalMs: 4_000 }));
  const run = await withStatus(session, "suspended");
  const told = reading.lines.map((line) => JSON.parse(line));
  const { deadline } = told.find(({ type }) => type === "session.run.suspended").data;
  assert.ok(deadline - run.createdAt >= 4_000 && deadline - run.createdAt < 8_000, JSON.stringify(run));
  const row = async () =>
    (await runtime.d1("SELECT status, finished_at FROM runs WHERE run_id = ?", `dev:${session}:0`))[0];
  await until("D1 has the wait", async () => (await row())?.status === "suspended");
  await runtime.restart();
  const { finished_at: finishedAt } = await until("the turn is over in D1", async () => {
    const now = await row();
    return now.status === "completed" ? now : null;
  });
  assert.ok(finishedAt >= deadline, `${finishedAt} is before ${deadline}`);
  const { lines } = await client.log(session, 0);
  assertAnswered(lines, TOO_LATE, 1);
  assertPrefix({ after: -1, bytes: reading.bytes }, lines);
});

test("with the object's storage gone a waiting turn goes on from D1", { timeout: 60_000 }, async () => {
  const session = "lost";
  const reading = await client.submit(session, research(SIX));
  await withStatus(session, "suspended");
  const row = async () => (await runtime.d1("SELECT status FROM runs WHERE run_id = ?", `dev:${session}:0`))[0];
  await until("D1 has the wait", async () => (await row())?.status === "suspended");
  await runtime.kill();
  runtime.deleteObjects();
  await runtime.start();
  assert.equal((await approve(session)).status, 201);
  await client.finished(session, 0);
  const { lines } = await client.log(session, 0);
  assertAnswered(lines, FOUND, 6);
  assertPrefix({ after: -1, bytes: reading.bytes }, lines);
});

test("a waiting turn is cancelled, and one that follows takes its place", async () => {
  const session = "steered";
  await client.submit(session, research("1 + 1"));
  await withStatus(session, "suspended");
  const cancelled = await client.post(`${turnPath(session)}/cancel`, { reason: "enough" });
  assert.equal(cancelled.status, 202);
  await withStatus(session, "cancelled");
  assertProblem(await client.post(eventPath(session), true), 409, "turn_finished");
  const retried = await client.submit(session, { retryOf: 0, upstream: "task:research" });
  assert.equal(retried.headers["x-execution-id"], `dev:${session}:1`);
  const next = await client.turn(session, { message: "hello", upstream: "demo", ifRunning: "cancel" });
  assert.equal(next.headers["x-execution-id"], `dev:${session}:2`);
  assertWholeLog(next.lines);
});

test("a task that UPSTREAM does not name is refused", async () => {
  const other = await startRuntime({ vars: { AUTH_MODE: "none", UPSTREAM: "demo" } });
  try {
    const refused = await new Client(other).post("/v1/sessions/s/turns", research("1 + 1"));
    assertProblem(refused, 400, "invalid_request");
  } finally {
    await other.stop();
  }
});
