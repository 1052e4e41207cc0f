// The prefix law and the rest of following: any number of readers, from anywhere, in both framings.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createParser } from "eventsource-parser";
import { Client, NDJSON, SSE } from "./client.mjs";
import { assertProblem, framed } from "./expect.mjs";
import { startRuntime, until } from "./harness.mjs";
import { ScriptedUpstream, scriptedVars, transcript } from "./upstream.mjs";

// The started line, 57 deltas, the result and the terminal line.
const SIXTY = { lines: 57, delayMs: 12, emojiSplit: false };
const COUNT = 60;

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

describe("following", { concurrency: true }, () => {
  for (const type of [NDJSON, SSE]) {
    const short = type === SSE ? "sse" : "ndjson";

    test(`the first k lines and what follows k-1 are the whole log, live, ${short}`, async () => {
      const session = `live-${short}`;
      const expected = transcript(SIXTY, { session });
      assert.equal(expected.length, COUNT);
      const first = await client.submit(
        session,
        { message: "go", metadata: { script: SIXTY } },
        { accept: type },
      );
      const followers = [];
      for (let k = 0; k < COUNT; k++) {
        await first.atLeast(k);
        followers.push(client.follow(session, 0, { after: k - 1, accept: type }));
      }
      assert.equal(await first.whole(), framed(expected, type));
      for (const [k, opening] of followers.entries()) {
        const follower = await opening;
        await follower.whole();
        assert.equal(follower.text, framed(expected.slice(k), type, k), `k = ${k}`);
      }
    });

    test(`the first k lines and what follows k-1 are the whole log, finished, ${short}`, async () => {
      const session = `finished-${short}`;
      const script = { ...SIXTY, delayMs: 0 };
      const expected = transcript(script, { session });
      await client.turn(session, { message: "go", metadata: { script } });
      for (let k = 0; k < COUNT; k++) {
        const rest = await client.log(session, 0, { after: k - 1, accept: type });
        assert.equal(rest.status, 200);
        assert.equal(rest.headers["content-type"].split(";")[0], type);
        assert.equal(rest.text, framed(expected.slice(k), type, k), `k = ${k}`);
      }
      const nothing = await client.log(session, 0, { after: COUNT - 1, accept: type });
      assert.deepEqual([nothing.status, nothing.text], [type === SSE ? 204 : 200, ""]);
      assertProblem(await client.log(session, 0, { after: COUNT, accept: type }), 400, "cursor_out_of_range");
    });
  }

  test("without `after` the whole log comes", async () => {
    const session = "omitted";
    const reading = await client.turn(session, { message: "go", metadata: { script: { lines: 4 } } });
    assert.equal((await client.log(session, 0)).text, reading.text);
  });

  test("Last-Event-ID wins over `after`", async () => {
    const session = "last-event-id";
    const reading = await client.turn(session, { message: "go", metadata: { script: { lines: 6 } } });
    const rest = await client.log(session, 0, { after: 0, accept: SSE, headers: { "last-event-id": "4" } });
    assert.equal(rest.text, framed(reading.lines.slice(5), SSE, 5));
  });

  test("an event-stream parser that nobody here wrote reads the same lines", async () => {
    const session = "parser";
    const script = { lines: 30, delayMs: 5, emojiSplit: true };
    const reading = await client.turn(session, { message: "go", metadata: { script } }, { accept: SSE });
    const events = [];
    const parser = createParser({
      onEvent: (event) => events.push(event),
      onError: (error) => assert.fail(error),
    });
    const decoder = new TextDecoder();
    // In pieces of seven bytes, as a network might.
    for (let at = 0; at < reading.bytes.length; at += 7) {
      parser.feed(decoder.decode(reading.bytes.subarray(at, at + 7), { stream: true }));
    }
    assert.deepEqual(
      events.map(({ data }) => data),
      transcript(script, { session }),
    );
    assert.deepEqual(
      events.map(({ id }) => id),
      events.map((_, n) => String(n)),
    );
    assert.deepEqual([...new Set(events.map(({ event }) => event))], [undefined], "no event field");
  });

  test("`live=false` ends at the present end of a running turn, beyond it is out of range", async () => {
    const session = "not-live";
    const running = await client.submit(session, {
      message: "go",
      metadata: { script: { lines: 5, endless: true } },
    });
    await running.atLeast(6);
    const present = await client.log(session, 0, { live: false });
    assert.deepEqual(present.lines, running.lines);
    const nothing = await client.log(session, 0, { live: false, after: 5 });
    assert.equal(nothing.text, "");
    assertProblem(await client.log(session, 0, { after: 6 }), 400, "cursor_out_of_range");
    assertProblem(await client.log(session, 1), 404, "not_found");
    running.leave();
  });

  test("quiet is filled with heartbeats that are no lines", async () => {
    const session = "quiet";
    const ndjson = await client.submit(session, {
      message: "go",
      metadata: { script: { lines: 2, endless: true } },
    });
    const sse = await client.follow(session, 0, { accept: SSE });
    await ndjson.atLeast(3);
    await sse.atLeast(3);
    const quietSince = ndjson.arrivals.at(-1).at;
    await until("both heartbeats", () => ndjson.text.includes("heartbeat") && sse.text.includes(": hb"));
    const waited = ndjson.arrivals.at(-1).at - quietSince;
    // The interval is 15 s; a client takes 45 s of silence for a cut.
    assert.ok(waited > 10_000 && waited < 45_000, `a heartbeat after ${waited} ms`);
    assert.ok(ndjson.text.endsWith('\n{"type":"heartbeat"}\n'), ndjson.text.slice(-80));
    assert.ok(sse.text.endsWith("\n\n: hb\n\n"), sse.text.slice(-80));
    assert.equal(ndjson.lines.length, 3);
    const stored = await client.log(session, 0, { live: false });
    assert.ok(!stored.text.includes("heartbeat"));
    ndjson.leave();
    sse.leave();
  });
});
