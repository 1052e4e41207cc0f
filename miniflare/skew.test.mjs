// A Worker of another release in front of an object, as a rolling deployment has it for some minutes.
//
// Owns what the built object answers to envelopes that this release's Worker doesn't send. Their form is
// `src/api/envelope.rs`; every command and every text that is none are tested there, natively.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "./client.mjs";
import { assertProblem } from "./expect.mjs";
import { startRuntime } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars } from "./upstream.mjs";

const KEY = "dev:skew";
const CALLER = { project: null, tenant: "dev", user: null, session: "skew" };

let upstream, runtime, client;
before(async () => {
  upstream = await ScriptedUpstream.start();
  runtime = await startRuntime({ vars: scriptedVars(upstream) });
  client = new Client(runtime);
  await client.turn("skew", { message: "hi", metadata: { script: { lines: 3 } } });
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

/** What the session's object answers, in the form that `assertProblem` takes. */
async function ask(envelope) {
  const text = typeof envelope === "string" ? envelope : JSON.stringify(envelope);
  const answer = await runtime.askObject(KEY, text);
  return { ...answer, json: () => JSON.parse(answer.text) };
}

test("this release's Worker is answered", async () => {
  const answer = await ask({ v: 1, caller: CALLER, command: "Session" });
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.json(), (await client.get("/v1/sessions/skew")).json());
});

for (const [name, envelope] of [
  ["an envelope of before the versions", { caller: CALLER, command: "Session" }],
  ["a newer Worker's command", { v: 1, caller: CALLER, command: { Fork: { turn: 0 } } }],
  ["a newer Worker's version", { v: 2, caller: CALLER, command: "Session" }],
  ["a newer Worker's form of a command", { v: 1, caller: CALLER, command: { Poke: { turn: 0 } } }],
]) {
  test(`${name} is refused as one to repeat`, async () => {
    const problem = assertProblem(await ask(envelope), 503, "session_unavailable");
    assert.equal(problem.retryable, true);
    const { headers } = await ask(envelope);
    assert.match(headers["retry-after"] ?? "", /^[1-9]\d*$/);
    // The object goes on as it was.
    assert.equal((await client.get("/v1/sessions/skew/turns/0")).json().status, "completed");
  });
}

test("what no release sends is a fault of ours", async () => {
  assertProblem(await ask("hello"), 500, "internal");
});
