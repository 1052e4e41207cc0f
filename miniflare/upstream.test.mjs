// Every fault of a resumable upstream: what a client sees, and how often the upstream was asked.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client } from "./client.mjs";
import { assertFailed, assertWholeLog, lastAttempt } from "./expect.mjs";
import { startRuntime, until } from "./harness.mjs";
import { framesOf, linesFor, ScriptedUpstream, scriptedVars, transcript } from "./upstream.mjs";

const ATTEMPTS = 4;
const STARTS = 2;
const IDLE_MS = 1_000;

let upstream, runtime, client;
before(async () => {
  upstream = await ScriptedUpstream.start();
  const budgets = { UPSTREAM_ATTEMPTS: ATTEMPTS, UPSTREAM_STARTS: STARTS, UPSTREAM_IDLE_MS: IDLE_MS };
  runtime = await startRuntime({ vars: scriptedVars(upstream, budgets) });
  client = new Client(runtime);
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

/** Runs a turn by a script and gives its lines and what the upstream counted. */
async function run(session, script) {
  upstream.plan(session, script);
  const reading = await client.turn(session, { message: "go" });
  assert.equal(reading.status, 200, reading.text);
  return { lines: reading.lines, asked: upstream.counts(`dev:${session}:0`) };
}

const many = (fault, times) => Array.from({ length: times }, () => fault);

describe("faults that a client never notices", { concurrency: 4 }, () => {
  const rows = {
    "socket destroyed": { lines: 20, connections: [{ dropAfter: 7 }] },
    "socket destroyed before the first frame": { connections: [{ dropAfter: 0 }] },
    "socket destroyed on each of several connections": { lines: 40, connections: many({ dropAfter: 9 }, 4) },
    "clean close without a terminal frame": { lines: 20, connections: [{ closeAfter: 7 }] },
    "clean close before any frame": { connections: [{ closeAfter: 0 }] },
    "cut in the middle of a frame": { lines: 20, connections: [{ cutMidFrame: 6 }, { cutMidFrame: 3 }] },
    "cut in the middle of a character": { lines: 20, connections: [{ cutMidUtf8: 2 }, { cutMidUtf8: 1 }] },
    silence: { lines: 20, connections: [{ stallAfter: 5 }] },
    "an attach that stays silent": { lines: 20, connections: [{ dropAfter: 5 }, { stallAfter: 0 }] },
    "frames repeated from before the cursor": {
      lines: 20,
      connections: [{ dropAfter: 9 }, { repeatFrames: 5 }],
    },
    "everything replayed whatever the cursor": {
      lines: 20,
      connections: [{ dropAfter: 9 }, { replayAll: true }, {}],
    },
    "started, but the answer was lost": { connections: [{ dropBeforeHead: true }] },
    "started, but answered 502": { connections: [{ status: 502, startFirst: true }] },
    "503 before the start": { connections: [{ status: 503 }, { status: 500 }] },
    "429 with Retry-After": { connections: [{ status: 429, retryAfter: 1 }] },
    "5xx at an attach": {
      lines: 20,
      connections: [{ dropAfter: 5 }, { status: 500 }, { status: 503, retryAfter: 1 }],
    },
    "an emoji's halves in two frames, cut between": {
      lines: 3,
      emojiSplit: true,
      connections: [{ dropAfter: 5 }],
    },
    "pretty-printed JSON": { lines: 5, prettyJson: true, emojiSplit: true },
    "numbers beyond a double": { lines: 2, hugeNumber: true, prettyJson: true },
    "odd types and bare data": {
      lines: 1,
      types: [
        ["a.b-c_9", "null"],
        ["x", '[ 1 , "\\u2028" , {} ]'],
        ["y", '"\\ud800"'],
        ["z", '{"a":1,"a":2}'],
      ],
    },
    "an error frame, which is the upstream's own": { lines: 1, types: [["error", '{"code":"mine"}']] },
  };
  for (const [name, script] of Object.entries(rows)) {
    test(name, async () => {
      const session = name.replaceAll(/[^a-z0-9]+/gi, "-");
      const { lines, asked } = await run(session, script);
      assert.deepEqual(lines, transcript(script, { session }));
      assert.equal(asked.starts, 1);
      const faults = (script.connections ?? []).filter(
        (fault) => fault.replayAll !== true && fault.repeatFrames === undefined,
      );
      assert.ok(
        asked.requests > faults.filter((fault) => Object.keys(fault).length > 0).length,
        `${asked.requests} requests`,
      );
    });
  }

  test("Retry-After is kept", async () => {
    const begun = performance.now();
    await run("retry-after", { connections: [{ status: 429, retryAfter: 2 }] });
    assert.ok(performance.now() - begun >= 2_000);
  });

  test("progress restores the budget of attaches", async () => {
    const script = { lines: 60, connections: many({ dropAfter: 5 }, ATTEMPTS * 2) };
    const { lines, asked } = await run("restored", script);
    assert.deepEqual(lines, transcript(script, { session: "restored" }));
    assert.equal(asked.requests, ATTEMPTS * 2 + 1);
  });

  test("an attach goes on after the last frame that is stored", async () => {
    const { asked } = await run("cursor", { lines: 20, connections: [{ dropAfter: 9 }] });
    assert.equal(asked.headers[0]["last-event-id"], undefined);
    // Eight deltas behind the opening frame.
    assert.equal(asked.headers[1]["last-event-id"], "e000008");
    assert.deepEqual(asked.bodies[1], asked.bodies[0]);
    assert.equal(asked.headers[1]["x-input-hash"], asked.headers[0]["x-input-hash"]);
  });

  test("comments are life: an upstream that thinks aloud is not attached again", async () => {
    const session = "comments";
    upstream.plan(session, { connections: [{ commentsMs: 100 }] });
    const reading = await client.submit(session, { message: "go" });
    const asked = upstream.counts(`dev:${session}:0`);
    await until("well beyond the idle limit", () => performance.now() - reading.startedAt > IDLE_MS * 2.5);
    assert.equal(asked.requests, 1);
    await client.post(`/v1/sessions/${session}/turns/0/cancel`);
    await reading.whole();
  });
});

describe("a lost execution becomes a new attempt that says so", { concurrency: 4 }, () => {
  for (const status of [404, 410]) {
    test(`${status} at an attach`, async () => {
      const session = `gone-${status}`;
      const script = { lines: 12, connections: [{ dropAfter: 6 }, { status }] };
      const { lines, asked } = await run(session, script);
      const parsed = assertWholeLog(lines);
      const restarted = parsed.filter(({ type }) => type === "session.run.restarted");
      assert.equal(restarted.length, 1);
      assert.equal(restarted[0].data.attempt, 2);
      assert.ok(restarted[0].data.reason.length > 0);
      // Frame 0 is the adapter's own, so six frames were five lines.
      const whole = transcript(script, { session });
      assert.deepEqual(lines.slice(0, 6), whole.slice(0, 6));
      assert.equal(restarted[0].seq, 6);
      const frames = framesOf(script, { executionId: "", sessionId: session, inputHash: "" });
      assert.deepEqual(lines.slice(7, -1), linesFor(frames, 7));
      assert.equal(lastAttempt(parsed).at(-1).type, "session.run.completed");
      assert.equal(asked.starts, 1);
      const second = upstream.counts(`dev:${session}:0:a2`);
      assert.deepEqual([second.starts, second.requests], [1, 1]);
      assert.equal(second.headers[0]["x-input-hash"], asked.headers[0]["x-input-hash"]);
      assert.equal((await client.get(`/v1/sessions/${session}/turns/0`)).json().attempts.length, 2);
    });
  }

  test("starts have a budget that nothing restores", async () => {
    const session = "gone-for-good";
    const loses = [{ dropAfter: 4 }, { status: 410 }];
    const { lines } = await run(session, { lines: 12, connections: loses, later: loses });
    const parsed = assertFailed(lines, "upstream_unavailable");
    assert.equal(parsed.filter(({ type }) => type === "session.run.restarted").length, STARTS - 1);
    assert.deepEqual(upstream.executionsOf(`dev:${session}:0`), [`dev:${session}:0`, `dev:${session}:0:a2`]);
  });
});

describe("faults that end the turn", { concurrency: 4 }, () => {
  const rows = [
    ["5xx for good", { connections: many({ status: 503 }, 50) }, "upstream_unavailable"],
    [
      "dropped before the head for good",
      { connections: many({ dropBeforeHead: true }, 50) },
      "upstream_unavailable",
    ],
    ["400", { connections: [{ status: 400 }] }, "upstream_rejected"],
    ["401", { connections: [{ status: 401 }] }, "upstream_rejected"],
    ["a redirect", { connections: [{ status: 302 }] }, "upstream_rejected"],
    ["409", { connections: [{ status: 409 }] }, "upstream_conflict"],
    ["409 at an attach", { connections: [{ dropAfter: 4 }, { status: 409 }] }, "upstream_conflict"],
    ["another inputHash", { inputHash: "0".repeat(64) }, "upstream_conflict"],
    ["a forged terminal line", { forgedAt: 4 }, "upstream_protocol"],
    ["a bad type", { badTypeAt: 4 }, "upstream_protocol"],
    ["a heartbeat of its own", { lines: 3, types: [["heartbeat", "{}"]] }, "upstream_protocol"],
    ["a frame over 1 MiB", { tooBigAt: 4 }, "upstream_protocol"],
    ["a frame without id", { noIdAt: 4 }, "upstream_protocol"],
    ["a frame that is no JSON", { notJsonAt: 4 }, "upstream_protocol"],
    [
      "an answer that is no event stream",
      { connections: [{ contentType: "text/html" }] },
      "upstream_protocol",
    ],
  ];
  for (const [name, script, code] of rows) {
    test(`${name} is ${code}`, async () => {
      const session = name.replaceAll(/[^a-z0-9]+/gi, "-");
      const { lines, asked } = await run(session, { lines: 8, ...script });
      assertFailed(lines, code);
      assert.ok(asked.starts <= 1);
      const before = Object.keys(script).some((key) => key.endsWith("At")) ? 4 : 1;
      assert.deepEqual(
        lines.slice(0, before),
        transcript({ lines: 8 }, { session }).slice(0, before),
        "what came before stays",
      );
      assert.deepEqual((await client.log(session, 0)).lines, lines);
      const runRow = (await client.get(`/v1/sessions/${session}/turns/0`)).json();
      assert.equal(runRow.status, "failed");
      assert.equal(runRow.lastError.code, code);
    });
  }

  test("the budget of attaches is what is configured", async () => {
    const { asked } = await run("counted", { connections: many({ status: 503 }, 50) });
    assert.equal(asked.requests, ATTEMPTS);
  });

  test("the upstream's own failure is told in its words", async () => {
    const { lines } = await run("own-failure", { lines: 3, fails: "the model is asleep" });
    const [error, last] = assertWholeLog(lines).slice(-2);
    assert.equal(error.type, "error");
    assert.match(error.data.code, /^[a-z_]+$/);
    assert.equal(error.data.message, "the model is asleep");
    assert.deepEqual(last, {
      seq: lines.length - 1,
      type: "session.run.failed",
      data: { sessionId: "own-failure", message: "the model is asleep" },
    });
    assert.deepEqual(lines.slice(0, -2), transcript({ lines: 3 }, { session: "own-failure" }).slice(0, 4));
  });
});

test("an upstream that nobody listens at fails the turn once the budget is gone", async () => {
  const gone = await ScriptedUpstream.start();
  await gone.close();
  const budgets = { UPSTREAM_ATTEMPTS: 2 };
  const deaf = await startRuntime({ vars: scriptedVars({ url: gone.url }, budgets) });
  try {
    const reading = await new Client(deaf).turn("deaf", { message: "go" });
    assertFailed(reading.lines, "upstream_unavailable");
  } finally {
    await deaf.stop();
  }
});

test("a turn's time and size are bounded", async () => {
  const bounds = { TURN_TIMEOUT_MS: 2_000, TURN_MAX_BYTES: 65_536 };
  const strict = await startRuntime({ vars: scriptedVars(upstream, bounds) });
  try {
    const caller = new Client(strict);
    upstream.plan("too-long", { lines: 3, endless: true });
    upstream.plan("too-large", { lines: 200, padBytes: 1_000 });
    const long = await caller.turn("too-long", { message: "go" });
    assertFailed(long.lines, "turn_timeout");
    assert.equal(long.lines.length, 6);
    const large = await caller.turn("too-large", { message: "go" });
    assertFailed(large.lines, "turn_too_large");
    assert.ok(large.bytes.length < bounds.TURN_MAX_BYTES + 4_096);
  } finally {
    await strict.stop();
  }
});
