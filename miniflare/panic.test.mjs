// A panic resets the instance under every session that shares it: the other sessions' turns still complete, and the
// operator reads its words once.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "./client.mjs";
import { assertProblem } from "./expect.mjs";
import { BUILD, FAULTS_BUILD, startRuntime } from "./harness.mjs";
import { panicAt, SECRET } from "./panic.mjs";
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

const script = { lines: 150, delayMs: 20 };

/** A turn that streams for three seconds, and says what a log may not. */
const told = (session) => ({
  session,
  turn: { message: SECRET, metadata: { script } },
  lines: transcript(script, { session }),
});

// The object that panics is never the first of its instance.
for (const at of ["session", "request", "demo"]) {
  test(`a panic in a ${at} loses no session's turn, and is told once`, { timeout: 120_000 }, async () => {
    const sessions = ["panics", "bystander-1", "bystander-2"].map((name) => `${at}-${name}`);
    const client = new Client(runtime);
    await client.turn(`${at}-first`, { message: "go", metadata: { script: { lines: 1 } } });
    await panicAt(runtime, at, sessions.map(told));
    for (const session of sessions) assert.equal(upstream.counts(`dev:${session}:0`).starts, 1, session);
    const next = await client.turn(sessions[0], { message: "still here?", metadata: { script: { lines: 1 } } });
    assert.deepEqual(next.lines, transcript({ lines: 1 }, { session: sessions[0], turnIndex: 1 }));
  });
}

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
