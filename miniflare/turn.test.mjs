// One turn over HTTP: submitted, joined, replayed, refused, read again.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, SSE } from "./client.mjs";
import { assertProblem, assertStreamHead, assertWholeLog, framed, itemsOf, textOf } from "./expect.mjs";
import { startRuntime, until } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars, transcript } from "./upstream.mjs";

let upstream, runtime, client;
before(async () => {
  upstream = await ScriptedUpstream.start();
  runtime = await startRuntime({ vars: scriptedVars(upstream) });
  client = new Client(runtime);
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

const turn = (message, script, more = {}) => ({ message, metadata: { script }, ...more });

test("a fresh turn streams the upstream's transcript and asks it once", async () => {
  const session = "fresh";
  const script = { lines: 40, delayMs: 2, emojiSplit: true, hugeNumber: true };
  const reading = await client.turn(session, turn("hello", script));
  assertStreamHead(reading, { session, mode: "fresh" });
  assert.deepEqual(reading.lines, transcript(script, { session }));
  const asked = upstream.counts("dev:fresh:0");
  assert.equal(asked.starts, 1);
  assert.equal(asked.requests, 1);
  const [body] = asked.bodies;
  assert.deepEqual([body.message, body.history, body.sessionId], ["hello", [], session]);
  assert.match(asked.headers[0]["x-input-hash"], /^[0-9a-f]{64}$/);
});

test("an emoji split between two frames is whole in UTF-16 units", async () => {
  const reading = await client.turn("emoji", turn("hello", { lines: 1, emojiSplit: true }));
  const parsed = assertWholeLog(reading.lines);
  assert.ok(textOf(parsed).endsWith("\u{1f680}"));
});

test("lines come while the upstream still works, not at its end", async () => {
  const reading = await client.submit("live", turn("hello", { lines: 5, endless: true }));
  await reading.atLeast(6);
  assert.equal(reading.ended, null);
  reading.leave();
});

for (const [name, more, headers] of [
  ["by index", { turnIndex: 0 }, {}],
  ["by key", {}, { "idempotency-key": "key-1" }],
]) {
  test(`the same turn ${name} is joined while it runs and replayed once it is over`, async () => {
    const session = `again-${name.split(" ")[1]}`;
    const body = turn("hello", { lines: 30, delayMs: 15 }, more);
    const first = await client.submit(session, body, { headers });
    await first.atLeast(8);
    const joined = await client.submit(session, body, { headers });
    assertStreamHead(joined, { session, mode: "joined" });
    const [log, same] = [await first.whole(), await joined.whole()];
    assert.equal(same, log);
    const replayed = await client.turn(session, body, { headers });
    assertStreamHead(replayed, { session, mode: "replayed" });
    assert.equal(replayed.text, log);
    const asSse = await client.turn(session, body, { headers, accept: SSE });
    assertStreamHead(asSse, { session, mode: "replayed", type: SSE });
    assert.equal(asSse.text, framed(first.lines, SSE));
    assert.equal(upstream.counts(`dev:${session}:0`).requests, 1);
  });
}

test("the message as text and as an object with the same text are the same input", async () => {
  const first = await client.turn("shapes", { message: "hi", turnIndex: 0 });
  const second = await client.turn("shapes", { turnIndex: 0, message: { content: "hi", role: "user" } });
  assert.equal(second.headers["x-turn-mode"], "replayed");
  assert.equal(second.text, first.text);
});

test("another message under a known index or key is refused and leaves the log as it was", async () => {
  const session = "mismatch";
  const first = await client.turn(
    session,
    { message: "one", turnIndex: 0 },
    { headers: { "idempotency-key": "k" } },
  );
  assertProblem(await client.turn(session, { message: "two", turnIndex: 0 }), 409, "manifest_mismatch");
  assertProblem(
    await client.turn(session, { message: "two" }, { headers: { "idempotency-key": "k" } }),
    409,
    "manifest_mismatch",
  );
  assertProblem(
    await client.turn(session, { message: "one", turnIndex: 1 }, { headers: { "idempotency-key": "k" } }),
    409,
    "manifest_mismatch",
  );
  const log = await client.log(session, 0);
  assert.equal(log.text, first.text);
  assert.equal((await client.get(`/v1/sessions/${session}`)).json().turnCount, 1);
});

test("while a turn runs another is refused with the place of the running one", async () => {
  const session = "busy";
  const running = await client.submit(session, turn("one", { lines: 3, endless: true }));
  await running.atLeast(4);
  const refused = await client.turn(session, { message: "two" });
  assertProblem(refused, 409, "turn_in_progress");
  assert.equal(refused.headers.location, `/v1/sessions/${session}/turns/0/stream`);
  running.leave();
});

test("an index beyond the next is refused and opens nothing", async () => {
  assertProblem(await client.turn("order", { message: "hi", turnIndex: 1 }), 409, "turn_out_of_order");
  assertProblem(await client.get("/v1/sessions/order"), 404, "not_found");
});

test("the next turn carries the transcript as its history", async () => {
  const session = "history";
  const first = await client.turn(session, turn("first question", { lines: 3 }));
  const answer = assertWholeLog(first.lines).find(({ type }) => type === "result").data.finalText;
  const parts = { role: "user", content: [{ type: "text", text: "second" }] };
  await client.turn(session, turn(parts, { lines: 2 }));
  assert.deepEqual(upstream.counts(`dev:${session}:1`).bodies[0].history, [
    { role: "user", content: "first question" },
    { role: "assistant", content: answer },
  ]);
  const list = itemsOf(await client.get(`/v1/sessions/${session}/messages`));
  assert.deepEqual(
    list.map(({ role, turnIndex, status }) => [role, turnIndex, status]),
    [
      ["user", 0, "complete"],
      ["assistant", 0, "complete"],
      ["user", 1, "complete"],
      ["assistant", 1, "complete"],
    ],
  );
  assert.equal(list[1].content, answer);
  assert.deepEqual(list[2].content, parts.content);
});

test("a session, its runs and their steps can be read", async () => {
  const session = "read";
  for (const message of ["a", "b", "c"]) await client.turn(session, { message });
  const summary = (await client.get(`/v1/sessions/${session}`)).json();
  assert.deepEqual([summary.sessionId, summary.turnCount, summary.running], [session, 3, null]);
  assert.ok(summary.createdAt && summary.updatedAt);
  const run = (await client.get(`/v1/sessions/${session}/turns/1`)).json();
  assert.equal(run.status, "completed");
  assert.equal(run.lineCount, (await client.log(session, 1)).lines.length);
  assert.equal(run.attempts.length, 1);
  assert.equal((await client.get(`/v1/sessions/${session}/turns/1/steps`)).status, 200);
  assertProblem(await client.get(`/v1/sessions/${session}/turns/3`), 404, "not_found");
});

test("lists come in pages whose cursors join without gap or repetition", async () => {
  const session = "pages";
  for (let n = 0; n < 5; n++) await client.turn(session, { message: `m${n}` });
  await until(
    "D1 has all runs",
    async () => (await listOf(`/v1/runs?session=${session}&status=completed`)).items.length === 5,
  );
  for (const path of [`/v1/sessions/${session}/turns`, `/v1/runs?session=${session}`]) {
    const whole = await listOf(path);
    assert.equal(whole.items.length, 5, path);
    const paged = [];
    let cursor = null;
    do {
      const suffix = `${path.includes("?") ? "&" : "?"}limit=2${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`;
      const page = await listOf(path + suffix);
      assert.ok(page.items.length <= 2);
      paged.push(...page.items);
      cursor = page.cursor;
    } while (cursor);
    assert.deepEqual(paged, whole.items, path);
  }
  const newest = await listOf(`/v1/runs?session=${session}`);
  assert.deepEqual(
    newest.items.map(({ turnIndex }) => turnIndex),
    [4, 3, 2, 1, 0],
  );
});

/** A list answer: its one array and the cursor of the next page. */
async function listOf(path) {
  const reading = await client.get(path);
  return { items: itemsOf(reading), cursor: reading.json().cursor ?? null };
}

test("the demo agent answers the same message the same way, in words, with a tool and a result", async () => {
  const demo = (session, message) =>
    client.turn(session, { message, upstream: "demo", metadata: { demo: { words: 12, delayMs: 1 } } });
  const [one, two] = [await demo("demo-1", "Grüße 🌊?"), await demo("demo-2", "Grüße 🌊?")];
  const parsed = assertWholeLog(one.lines);
  assert.equal(one.text.replaceAll("demo-1", "demo-2"), two.text);
  const types = parsed.map(({ type }) => type);
  for (const type of ["tool.call", "tool.result", "usage", "result"])
    assert.equal(types.filter((t) => t === type).length, 1, type);
  assert.equal(parsed.find(({ type }) => type === "result").data.finalText, textOf(parsed));
  const other = await demo("demo-3", "something else");
  assert.notEqual(textOf(assertWholeLog(other.lines)), textOf(parsed));
});

for (const [fault, ending] of [
  [{ cutAfter: 5 }, "completed"],
  [{ failAfter: 5 }, "failed"],
]) {
  test(`the demo agent's ${Object.keys(fault)[0]} ends as ${ending}`, async () => {
    const session = `demo-${Object.keys(fault)[0]}`;
    const demo = { words: 20, delayMs: 1, ...fault };
    const reading = await client.turn(session, { message: "hi", upstream: "demo", metadata: { demo } });
    const parsed = assertWholeLog(reading.lines);
    assert.equal(parsed.at(-1).type, `session.run.${ending}`);
    const whole = await client.turn(`${session}-plain`, {
      message: "hi",
      upstream: "demo",
      metadata: { demo: { words: 20, delayMs: 1 } },
    });
    const expected = whole.lines.map((line) => line.replaceAll(`${session}-plain`, session));
    if (ending === "completed") assert.deepEqual(reading.lines, expected);
    else assert.deepEqual(reading.lines.slice(0, -2), expected.slice(0, reading.lines.length - 2));
  });
}

test("a demo option that can't be honoured fails the turn, and the failure says which and why", async () => {
  const reading = await client.turn("demo-wrong", { message: "hi", upstream: "demo", metadata: { demo: { words: "many" } } });
  const [error, failed] = assertWholeLog(reading.lines).slice(-2);
  const why = "`metadata.demo.words` must be an integer from 1 to 20000";
  assert.deepEqual([error.type, error.data], ["error", { code: "upstream_failed", message: why }]);
  assert.equal(failed.type, "session.run.failed");
});

test("names that are not configured are refused", async () => {
  assertProblem(await client.turn("names", { message: "x", upstream: "nowhere" }), 400, "invalid_request");
  assertProblem(await client.turn("names", { message: "x", model: "unheard-of" }), 400, "invalid_request");
  assertProblem(await client.get("/v1/sessions/names"), 404, "not_found");
});

test("an event is taken once, and its first payload stays", async () => {
  const session = "events";
  const running = await client.submit(session, turn("wait", { lines: 2, endless: true }));
  await running.atLeast(3);
  const path = `/v1/sessions/${session}/turns/0/events/approval:1`;
  const first = await client.post(path, { yes: true });
  assert.deepEqual([first.status, first.json().accepted], [201, true]);
  const second = await client.post(path, { yes: false });
  assert.deepEqual([second.status, second.json().accepted], [200, false]);
  assert.deepEqual(second.json().record, first.json().record);
  assert.deepEqual((await client.get(path)).json(), first.json().record);
  assertProblem(await client.get(`/v1/sessions/${session}/turns/0/events/other`), 404, "not_found");
  assertProblem(
    await client.post(`/v1/sessions/${session}/turns/0/events/big`, "x".repeat(257 * 1024)),
    413,
    "payload_too_large",
  );
  await client.post(`/v1/sessions/${session}/turns/0/cancel`);
  await client.finished(session, 0);
  assertProblem(await client.post(`/v1/sessions/${session}/turns/0/events/late`, 1), 409, "turn_finished");
  assert.equal((await client.post(path, 1)).status, 200);
});

test("health needs no credentials and names the versions", async () => {
  const health = (await client.get("/healthz")).json();
  assert.equal(health.ok, true);
  assert.match(health.version, /^\d+\.\d+\.\d+/);
  assert.ok(Number.isInteger(health.schemaVersion));
});
