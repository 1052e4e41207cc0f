// Clients that leave, stall, or come in crowds change nothing for the turn or for each other.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client } from "./client.mjs";
import { assertProblem, itemsOf } from "./expect.mjs";
import { startRuntime, until } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars, transcript } from "./upstream.mjs";

let upstream, runtime, client;
before(async () => {
  upstream = await ScriptedUpstream.start();
  runtime = await startRuntime({ vars: scriptedVars(upstream, { SHIP_INTERVAL_MS: 200 }) });
  client = new Client(runtime);
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

test("a client leaves after line 3: the turn completes, and message and D1 rows are there", async () => {
  const session = "left";
  const script = { lines: 60, delayMs: 10 };
  const reading = await client.submit(session, { message: "go", metadata: { script } });
  await reading.atLeast(3);
  reading.leave();
  const run = await client.finished(session, 0);
  assert.equal(run.status, "completed");
  const expected = transcript(script, { session });
  assert.deepEqual((await client.log(session, 0)).lines, expected);
  const messages = itemsOf(await client.get(`/v1/sessions/${session}/messages`));
  const result = JSON.parse(expected.at(-2)).data.finalText;
  assert.deepEqual(
    messages.map(({ role, content, status }) => [role, content, status]),
    [
      ["user", "go", "complete"],
      ["assistant", result, "complete"],
    ],
  );
  const log = expected.map((line) => `${line}\n`).join("");
  await until("D1 has every line", async () => {
    const rows = await runtime.d1(
      "SELECT lines FROM stream_log WHERE run_id = ? ORDER BY first_seq",
      `dev:${session}:0`,
    );
    return rows.map(({ lines }) => lines).join("") === log;
  });
  await until(
    "D1 has the end",
    async () =>
      (await runtime.d1("SELECT status FROM runs WHERE run_id = ?", `dev:${session}:0`))[0]?.status ===
      "completed",
  );
  const rows = await runtime.d1(
    "SELECT role, content FROM messages WHERE session_key = ? ORDER BY position",
    `dev:${session}`,
  );
  assert.deepEqual(
    rows.map(({ role, content }) => [role, JSON.parse(content)]),
    [
      ["user", "go"],
      ["assistant", result],
    ],
  );
});

for (const [name, options] of [
  ["by index", { turnIndex: 0 }],
  ["by key", {}],
]) {
  test(`50 concurrent POSTs of one turn ${name}: one start, 50 identical bodies`, async () => {
    const session = `crowd-${name.split(" ")[1]}`;
    const script = { lines: 40, delayMs: 8 };
    const headers = options.turnIndex === undefined ? { "idempotency-key": "crowd" } : {};
    const body = { message: "go", metadata: { script }, ...options };
    const crowd = await Promise.all(
      Array.from({ length: 50 }, () => client.turn(session, body, { headers })),
    );
    const expected = transcript(script, { session })
      .map((line) => `${line}\n`)
      .join("");
    for (const reading of crowd) {
      assert.equal(reading.status, 200, reading.text);
      assert.equal(reading.text, expected);
    }
    const modes = crowd.map((reading) => reading.headers["x-turn-mode"]);
    assert.equal(modes.filter((mode) => mode === "fresh").length, 1, modes.join(" "));
    const asked = upstream.counts(`dev:${session}:0`);
    assert.deepEqual([asked.starts, asked.requests], [1, 1]);
    assertProblem(
      await client.turn(session, { ...body, message: "other" }, { headers }),
      409,
      "manifest_mismatch",
    );
    assert.equal((await client.log(session, 0)).text, expected);
  });
}

test("50 different submits at once: one turn runs, the others are told which", async () => {
  const session = "rivals";
  const script = { lines: 3, endless: true };
  const rivals = await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      client.submit(session, { message: `rival ${n}`, metadata: { script } }),
    ),
  );
  const winners = rivals.filter(({ status }) => status === 200);
  assert.equal(winners.length, 1);
  for (const reading of rivals.filter(({ status }) => status !== 200)) {
    await reading.whole();
    assertProblem(reading, 409, "turn_in_progress");
  }
  assert.equal(upstream.counts(`dev:${session}:0`).starts, 1);
  winners[0].leave();
});

test("a stopped reader delays nobody and gets everything once it reads on", { timeout: 60_000 }, async () => {
  const session = "stopped";
  // About 8 MB: sockets and buffers between take some 4 MB before a stopped reader is felt at all.
  const script = { lines: 400, delayMs: 2, padBytes: 20_000 };
  upstream.plan(session, script);
  const expected = transcript(script, { session });
  const stopped = await client.submit(session, { message: "go" });
  stopped.stall();
  const second = await client.follow(session, 0);
  second.stall();
  const begun = performance.now();
  const eager = await client.log(session, 0);
  const took = performance.now() - begun;
  assert.deepEqual(eager.lines, expected);
  assert.equal((await client.finished(session, 0)).status, "completed");
  // The script takes 0.8 s by its clock; a turn that waits for a reader never ends.
  assert.ok(took < 20_000, `${took} ms`);
  assert.ok(stopped.bytes.length < eager.bytes.length, "the reader was really stopped");
  for (const reading of [stopped, second]) {
    reading.resume();
    await reading.whole();
    assert.equal(reading.text, eager.text);
  }
});

test("a hundred followers of one turn read the same bytes", async () => {
  const session = "audience";
  const script = { lines: 50, delayMs: 10 };
  const first = await client.submit(session, { message: "go", metadata: { script } });
  await first.atLeast(2);
  const audience = await Promise.all(Array.from({ length: 100 }, () => client.follow(session, 0)));
  const leaving = audience.splice(0, 50);
  for (const reading of leaving) reading.leave();
  await first.whole();
  assert.deepEqual(first.lines, transcript(script, { session }));
  for (const reading of audience) assert.equal(await reading.whole(), first.text);
});
