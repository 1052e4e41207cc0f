// examples/sandbox-agent behind the built Worker: the agent as a process of its own, the runtime killed between the two.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import { after, before, describe, test } from "node:test";
import { Client, PersistentClient, request } from "./client.mjs";
import { assertPrefix, assertWholeLog, lastAttempt, textOf } from "./expect.mjs";
import { startRuntime, until } from "./harness.mjs";

const AGENT = join(resolve(import.meta.dirname, ".."), "examples", "sandbox-agent", "agent.mjs");
// The agent says a word each 50 ms: a turn of some seconds, so that a kill hits its middle.
const STORY = Array.from({ length: 100 }, (_, n) => `word-${n}`).join(" ");
/** One that nobody waits for the end of. */
const ENDLESS = `${STORY} `.repeat(20);

/** The example, run as its README says; what it writes is what it did. */
class Agent {
  #process;
  #output = "";

  async start(env = {}) {
    this.#process = spawn(process.execPath, [AGENT], {
      env: { ...process.env, PORT: "0", ...env },
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process.stdout.on("data", (bytes) => (this.#output += bytes));
    this.url = await until("the agent listens", () => this.#output.match(/^listening (\S+)$/m)?.[1]);
    return this;
  }

  /** How often it wrote a line that begins so. */
  count(beginning) {
    return this.#output.split("\n").filter((line) => line.startsWith(beginning)).length;
  }

  async kill() {
    const gone = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await gone;
  }

  /** Asks for an execution as the Worker does. */
  ask(id, hash, { after, message = "hi there" } = {}) {
    const cursor = after === undefined ? {} : { "last-event-id": after };
    return request(this.url, {
      method: "POST",
      path: "/agents/run/stream",
      headers: { "x-execution-id": id, "x-input-hash": hash, ...cursor },
      body: JSON.stringify({ message, history: [], model: null, sessionId: "s", metadata: null }),
    });
  }

  cancel(id) {
    return request(this.url, { method: "POST", path: `/agents/run/${id}/cancel`, body: "{}" });
  }
}

const varsFor = (agent) => ({ AUTH_MODE: "none", UPSTREAM: "sandbox", UPSTREAM_URL: agent.url });

describe("behind the Worker", () => {
  let agent, runtime, client;
  before(async () => {
    agent = await new Agent().start({ UPSTREAM_KEY: "s3cret" });
    runtime = await startRuntime({ vars: { ...varsFor(agent), UPSTREAM_KEY: "s3cret" } });
    client = new Client(runtime);
  });
  after(async () => {
    await runtime?.stop();
    await agent?.kill();
  });

  test("a turn whose runtime is killed goes on in the execution that was started once", async () => {
    const reader = new PersistentClient(runtime, "killed", 0);
    const finished = reader.run({ message: STORY });
    await until("the turn is in its middle", () => reader.lines.length > 10);
    await runtime.restart();
    const lines = await finished;
    const parsed = assertWholeLog(lines);
    assert.equal(parsed.at(-1).type, "session.run.completed");
    assert.equal(textOf(parsed), `You said: ${STORY}`);
    assert.equal(parsed.at(-2).data.finalText, `You said: ${STORY}`);
    for (const connection of reader.connections) assertPrefix(connection, lines);
    assert.deepEqual((await client.log("killed", 0)).lines, lines);
    assert.equal(agent.count("start dev:killed:0"), 1);
    assert.ok(agent.count("ask dev:killed:0 after ") > 1, "it was attached again");
  });

  test("a cancel reaches it", async () => {
    const reading = await client.submit("cancelled", { message: ENDLESS });
    await reading.atLeast(5);
    assert.equal((await client.post("/v1/sessions/cancelled/turns/0/cancel")).status, 202);
    await reading.whole();
    assert.equal(assertWholeLog(reading.lines).at(-1).type, "session.run.cancelled");
    await until("the agent knows", () => agent.count("cancel dev:cancelled:0") > 0);
  });

  test("whoever has no key is told nothing", async () => {
    assert.equal((await agent.ask("a:s:9", "h1")).status, 401);
    assert.equal((await agent.cancel("a:s:9")).status, 401);
    assert.equal(agent.count("start a:s:9"), 0);
  });
});

test("an agent that forgot an execution gets a new attempt that says so", async () => {
  let agent = await new Agent().start();
  const runtime = await startRuntime({ vars: varsFor(agent) });
  try {
    const reading = await new Client(runtime).submit("forgotten", { message: STORY });
    await reading.atLeast(10);
    await agent.kill();
    agent = await new Agent().start({ PORT: new URL(agent.url).port });
    await reading.whole();
    const parsed = assertWholeLog(reading.lines);
    assert.equal(parsed.at(-1).type, "session.run.completed");
    const restarted = parsed.filter(({ type }) => type === "session.run.restarted");
    assert.deepEqual(
      restarted.map(({ data }) => data.attempt),
      [2],
    );
    assert.equal(textOf(lastAttempt(parsed)), `You said: ${STORY}`);
    assert.equal(agent.count("start dev:forgotten:0:a2"), 1);
  } finally {
    await runtime.stop();
    await agent.kill();
  }
});

describe("its side of the protocol", () => {
  let agent;
  before(async () => {
    agent = await new Agent().start();
  });
  after(() => agent?.kill());

  test("one id is one execution, replayed behind the frame that is named", async () => {
    const first = await agent.ask("a:s:0", "h1");
    assert.equal(first.status, 200);
    assert.equal(first.headers["content-type"], "text/event-stream");
    await until("some frames", () => first.text.split("\n\n").length > 2);
    const [second, behind] = await Promise.all([agent.ask("a:s:0", "h1"), agent.ask("a:s:0", "h1", { after: "1" })]);
    const whole = await first.whole();
    assert.equal(await second.whole(), whole);
    const events = whole.split("\n\n");
    assert.equal(await behind.whole(), events.slice(2).join("\n\n"));
    const frames = events.slice(0, -1).map((event) => JSON.parse(event.split("\ndata: ")[1]));
    assert.deepEqual(frames[0], {
      type: "execution.started",
      data: { executionId: "a:s:0", sandboxId: "agent", sessionId: "s", inputHash: "h1" },
    });
    assert.deepEqual(frames.at(-1), { type: "execution.completed", data: {} });
    assert.equal(agent.count("start a:s:0"), 1);
  });

  test("another input under a known id is 409", async () => {
    const first = await agent.ask("a:s:1", "h1");
    assert.equal((await agent.ask("a:s:1", "h2")).status, 409);
    await first.whole();
  });

  test("a cancelled execution fails with its last frame", async () => {
    const first = await agent.ask("a:s:2", "h1", { message: ENDLESS });
    assert.equal((await agent.cancel("a:s:2")).status, 202);
    const last = JSON.parse((await first.whole()).trim().split("\ndata: ").at(-1));
    assert.deepEqual(last, { type: "execution.failed", data: { message: "cancelled" } });
  });

  test("what it never began is 404", async () => {
    assert.equal((await agent.ask("a:s:3", "h1", { after: "4" })).status, 404);
    assert.equal((await agent.cancel("a:s:3")).status, 404);
    assert.equal(agent.count("start a:s:3"), 0);
  });

  test("what it has forgotten is 410, and never starts again", async () => {
    const forgetful = await new Agent().start({ KEEP_MS: "0" });
    try {
      await (await forgetful.ask("a:s:4", "h1")).whole();
      const status = async (...how) => (await forgetful.ask("a:s:4", "h1", ...how)).status;
      await until("it is forgotten", async () => (await status({ after: "0" })) === 410);
      assert.equal(await status(), 410);
      assert.equal((await forgetful.cancel("a:s:4")).status, 410);
      assert.equal(forgetful.count("start a:s:4"), 1);
    } finally {
      await forgetful.kill();
    }
  });
});
