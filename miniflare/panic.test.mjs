// A panic resets the instance under every session that shares it: the other sessions' turns still complete.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, PersistentClient } from "./client.mjs";
import { assertPrefix, assertProblem } from "./expect.mjs";
import { BUILD, FAULTS_BUILD, startRuntime, until } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars, transcript } from "./upstream.mjs";

let upstream, runtime;
before(async () => {
  upstream = await ScriptedUpstream.start();
  runtime = await startRuntime({ build: FAULTS_BUILD, vars: scriptedVars(upstream, { WATCHDOG_MS: 1_000 }) });
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

test("a panic in one session loses no session's turn", { timeout: 120_000 }, async () => {
  const script = { lines: 150, delayMs: 20 };
  const sessions = ["panics", "bystander-1", "bystander-2"];
  const readers = sessions.map((session) => new PersistentClient(runtime, session, 0));
  const turns = Promise.all(readers.map((reader) => reader.run({ message: "go", metadata: { script } })));
  // Awaited below; a check that fails before must be what is reported, not the turns that it leaves behind.
  turns.catch(() => {});
  await until("all stream", () => readers.every(({ lines }) => lines.length > 20));
  const client = new Client(runtime);
  // The object dies in the middle of answering: whatever the caller gets, it is no success.
  const answer = await client.post("/__faults/panics", { panic: true }).catch(() => null);
  assert.ok(answer === null || answer.status >= 500, `${answer?.status} ${answer?.text}`);
  for (const [n, lines] of (await turns).entries()) {
    const session = sessions[n];
    assert.deepEqual(lines, transcript(script, { session }), session);
    assert.equal(upstream.counts(`dev:${session}:0`).starts, 1, session);
    for (const connection of readers[n].connections) assertPrefix(connection, lines);
  }
  const next = await client.turn("panics", { message: "still here?", metadata: { script: { lines: 1 } } });
  assert.deepEqual(next.lines, transcript({ lines: 1 }, { session: "panics", turnIndex: 1 }));
});

test("an object that is reset before the head is asked once more, and the turn begins once", async () => {
  const client = new Client(runtime);
  const script = { lines: 5 };
  for (const [n, body] of [
    { message: "go", turnIndex: 0, metadata: { script } },
    // Without key or index the Worker's own key makes it safe to ask again.
    { message: "on", metadata: { script } },
  ].entries()) {
    assert.equal((await client.post("/__faults/reset", { dieBeforeHead: true })).status, 200);
    const turn = await client.turn("reset", body);
    assert.deepEqual(turn.lines, transcript(script, { session: "reset", turnIndex: n }));
    assert.equal(upstream.counts(`dev:reset:${n}`).starts, 1);
  }
});

test("the deployed build has no such hook", async () => {
  const plain = await startRuntime({ build: BUILD, vars: scriptedVars(upstream) });
  try {
    const client = new Client(plain);
    assertProblem(await client.post("/__faults/any", { panic: true }), 404, "not_found");
    assertProblem(await client.get("/__faults/conformance?store=object"), 404, "not_found");
  } finally {
    await plain.stop();
  }
});
