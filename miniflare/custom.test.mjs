// examples/custom-worker in real workerd: a Worker on the crate keeps every promise that the ready one does.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client, PersistentClient } from "./client.mjs";
import { assertPrefix, assertProblem, assertStreamHead, itemsOf } from "./expect.mjs";
import { CUSTOM_WORKER, SEED, seeded, startRuntime, until } from "./harness.mjs";

const digest = (token) => createHash("sha256").update(token).digest("hex");
const WORDS = Array.from({ length: 60 }, (_, n) => `w${n}`);
const PAUSE_MS = 20;

const custom = (vars) =>
  startRuntime({
    root: CUSTOM_WORKER,
    build: join(CUSTOM_WORKER, "build"),
    vars: { AUTH_MODE: "none", UPSTREAM: "recite", RECITE_PAUSE_MS: PAUSE_MS, ...vars },
  });

/** The whole log of a first turn that recited these words, built here and not by the product. */
function recited(session, words, tenant = "dev") {
  const text = (word) => ({ part: { id: "p1", type: "text" }, delta: `${word} ` });
  const started = {
    sessionId: session,
    tenantId: tenant,
    turnIndex: 0,
    executionId: `${tenant}:${session}:0`,
  };
  return [
    ["session.run.started", started],
    ...words.toReversed().map((word) => ["message.part.updated", text(word)]),
    ["session.run.completed", { sessionId: session }],
  ].map(([type, data], seq) => JSON.stringify({ seq, type, data }));
}

let runtime, client;
before(async () => {
  runtime = await custom();
  client = new Client(runtime);
});
after(() => runtime?.stop());

test("a turn on the example's own upstream streams to its end, and replays byte for byte", async () => {
  const session = "custom-turn";
  const turn = { message: WORDS.join(" "), turnIndex: 0 };
  const first = await client.turn(session, turn);
  assertStreamHead(first, { session, mode: "fresh" });
  assert.deepEqual(first.lines, recited(session, WORDS));
  assert.ok(first.arrivals.length > 5, "lines come one by one, not at the end");
  const again = await client.turn(session, turn);
  assertStreamHead(again, { session, mode: "replayed" });
  assert.ok(again.bytes.equals(first.bytes));
  const tail = await client.log(session, 0, { after: 30 });
  assert.deepEqual(tail.lines, first.lines.slice(31));
  const [question, answer] = itemsOf(await client.get(`/v1/sessions/${session}/messages`));
  assert.deepEqual([question.role, question.content], ["user", turn.message]);
  assert.equal(answer.content, `${WORDS.toReversed().join(" ")} `);
});

test("SIGKILL in mid-turn loses no line and doubles none", { timeout: 120_000 }, async () => {
  const random = seeded(SEED);
  const session = "custom-kill";
  const reader = new PersistentClient(runtime, session, 0);
  const finished = reader.run({ message: WORDS.join(" ") });
  for (const lines of [5, 20, 40]) {
    await until(`${lines} lines`, () => reader.lines.length >= lines + Math.floor(random() * 10));
    await runtime.killWorkerdOnly();
  }
  const expected = recited(session, WORDS);
  assert.deepEqual(await finished, expected, `SEED=${SEED}`);
  for (const connection of reader.connections) assertPrefix(connection, expected);
  const run = (await client.get(`/v1/sessions/${session}/turns/0`)).json();
  assert.equal(run.attempts.length, 1, "it was attached again, not asked again");
});

test("a killed turn that nobody follows goes on by its alarm", { timeout: 120_000 }, async () => {
  const session = "custom-alone";
  const reading = await client.submit(session, { message: WORDS.join(" ") });
  await reading.atLeast(10);
  await runtime.kill();
  await runtime.start();
  const run = await client.finished(session, 0);
  assert.equal(run.status, "completed");
  assert.deepEqual((await client.log(session, 0)).lines, recited(session, WORDS));
});

test("its durable copy is in D1, and the sweep runs", async () => {
  const rows = () => runtime.d1("SELECT run_id FROM runs WHERE run_id = ? AND status = 'completed'", "dev:custom-turn:0");
  await until("the run is shipped", async () => (await rows()).length === 1);
  await runtime.cron();
  const runs = itemsOf(await client.get("/v1/runs?session=custom-turn"));
  assert.equal(runs.length, 1);
});

test("an upstream that isn't configured is 400, whether the code has it or not", async () => {
  for (const upstream of ["demo", "sandbox", "own", "nobody"]) {
    assertProblem(await client.turn("custom-other", { message: "x", upstream }), 400, "invalid_request");
  }
  assertProblem(await client.get("/v1/sessions/custom-other"), 404, "not_found");
  const known = await client.turn("custom-known", { message: "x", upstream: "recite" });
  assert.deepEqual(known.lines, recited("custom-known", ["x"]));
});

test("the example's own path is its own, the others are the API's", async () => {
  const root = await client.get("/");
  assert.equal(root.status, 200);
  assert.match(root.text, /\/v1\/sessions/);
  assert.equal((await client.get("/healthz")).json().ok, true);
  assertProblem(await client.get("/nowhere"), 404, "not_found");
});

test("a cancel ends a turn of the own upstream", async () => {
  const session = "custom-cancel";
  const reading = await client.submit(session, { message: WORDS.join(" ") });
  await reading.atLeast(5);
  assert.equal((await client.post(`/v1/sessions/${session}/turns/0/cancel`)).status, 202);
  await reading.whole();
  assert.match(reading.lines.at(-1), /session\.run\.cancelled/);
});

test("a task of the example's own waits for its event, also over a kill", { timeout: 120_000 }, async () => {
  const orders = await custom({ UPSTREAM: "recite,task:order" });
  try {
    const client = new Client(orders);
    const run = async () => (await client.get("/v1/sessions/order/turns/0")).json();
    await client.submit("order", { message: "a lamp", upstream: "task:order" });
    await until("it waits", async () => (await run()).status === "suspended");
    await orders.kill();
    await orders.start();
    assert.equal((await client.post("/v1/sessions/order/turns/0/events/accept", true)).status, 201);
    assert.equal((await client.finished("order", 0)).status, "completed");
    const [, answer] = itemsOf(await client.get("/v1/sessions/order/messages"));
    assert.equal(answer.content, "a lamp for 5: true");
    const { lines } = await client.log("order", 0);
    assert.equal(lines.filter((line) => line.includes('"order.offer"')).length, 1);
  } finally {
    await orders.stop();
  }
});

test("its hooks mask every copy of an answer", async () => {
  const masked = await custom({ MASK_NUMBERS: "1" });
  try {
    const client = new Client(masked);
    const turn = await client.turn("mask", { message: "card 4711 and 42" });
    assert.match(turn.text, /"text":"## and #### card "/);
    const [, answer] = itemsOf(await client.get("/v1/sessions/mask/messages"));
    assert.equal(answer.content, "## and #### card ");
    const shipped = () => masked.d1("SELECT lines FROM stream_log WHERE run_id = ?", "dev:mask:0");
    await until("it is shipped", async () => JSON.stringify(await shipped()).includes("session.run.completed"));
    for (const copy of [turn.text, JSON.stringify(await shipped())]) assert.doesNotMatch(copy, /4711|42/);
  } finally {
    await masked.stop();
  }
});

test("tokens and configuration are refused as the ready Worker refuses them", async () => {
  const tokens = JSON.stringify({ [digest("ours")]: { tenant: "acme" } });
  const guarded = await custom({ AUTH_MODE: "tokens", API_TOKENS: tokens, RECITE_PAUSE_MS: "often" });
  try {
    const stranger = new Client(guarded, { token: "theirs" });
    assertProblem(await stranger.turn("guarded", { message: "x" }), 401, "unauthorized");
    const ours = new Client(guarded, { token: "ours" });
    // The app can't make its upstream of this variable.
    assertProblem(await ours.turn("guarded", { message: "x" }), 503, "misconfigured");
    await guarded.kill();
    await guarded.start({ vars: { RECITE_PAUSE_MS: "1" } });
    const turn = await ours.turn("guarded", { message: "a b" });
    assert.deepEqual(turn.lines, recited("guarded", ["a", "b"], "acme"));
  } finally {
    await guarded.stop();
  }
});
