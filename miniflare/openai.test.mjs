// The openai-chat upstream: against a scripted server for every fault, and against LiteLLM's proxy, a server that
// nobody here wrote.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Client, PersistentClient } from "./client.mjs";
import { assertFailed, assertWholeLog, lastAttempt, textOf } from "./expect.mjs";
import { startRuntime, until } from "./harness.mjs";
import { scripted } from "./openai_upstream.mjs";
import { ScriptedUpstream, scriptedVars } from "./upstream.mjs";

const STARTS = 3;
const SYSTEM_PROMPT = "You are terse.";
const KEY = "sk-scripted";

let upstream, runtime, client;
before(async () => {
  upstream = await ScriptedUpstream.start();
  const vars = {
    UPSTREAM: "openai-chat",
    UPSTREAM_STARTS: STARTS,
    UPSTREAM_KEY: KEY,
    UPSTREAM_IDLE_MS: 1_000,
    SYSTEM_PROMPT,
  };
  runtime = await startRuntime({ vars: scriptedVars(upstream, vars) });
  client = new Client(runtime);
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

/** Runs a scripted turn; gives the log, parsed, and what the server counted. */
async function run(session, script) {
  const message = scripted(session, script);
  const reading = await client.turn(session, { message });
  assert.equal(reading.status, 200, reading.text);
  return { lines: reading.lines, parsed: assertWholeLog(reading.lines), asked: upstream.counts(message) };
}

const say = (...words) => words.map((word) => ({ say: word }));
const only = (parsed, type) => parsed.filter((line) => line.type === type);

describe("a scripted server", { concurrency: 4 }, () => {
  test("text, usage and the finish reason", async () => {
    const { parsed, asked } = await run("text", { steps: say("Hel", "lo ", "żuraw \u{1f680}") });
    assert.equal(textOf(parsed), "Hello żuraw \u{1f680}");
    assert.deepEqual(only(parsed, "result")[0].data, {
      finalText: "Hello żuraw \u{1f680}",
      finishReason: "stop",
    });
    const { inputTokens, outputTokens, totalTokens } = only(parsed, "usage")[0].data;
    assert.deepEqual([inputTokens, outputTokens, totalTokens], [7, 5, 12]);
    assert.equal(parsed.at(-1).type, "session.run.completed");
    assert.equal(asked.starts, 1);
    const [body] = asked.bodies;
    assert.deepEqual([body.model, body.stream], ["scripted", true]);
    assert.deepEqual(
      body.messages.map(({ role }) => role),
      ["system", "user"],
    );
    assert.equal(body.messages[0].content, SYSTEM_PROMPT);
    assert.equal(asked.headers[0].authorization, `Bearer ${KEY}`);
  });

  test("an emoji whose halves come as escapes in two chunks", async () => {
    const half = (escape) => ({
      raw: `{"choices":[{"index":0,"delta":{"content":"${escape}"},"finish_reason":null}]}`,
    });
    const { lines, parsed } = await run("halves", { steps: [half("a\\ud83d"), half("\\ude80b")] });
    assert.equal(textOf(parsed), "a\u{1f680}b");
    assert.ok(
      lines.some((line) => line.includes('"delta":"a\\ud83d"')),
      "a half travels as it was sent",
    );
  });

  test("tool calls in pieces are called whole, in order", async () => {
    const steps = [
      { call: { index: 0, id: "call-a", name: "look", args: '{"where":"here"}' } },
      { call: { index: 1, id: "call-b", name: "take", args: '{"what":[1,2]}' } },
    ];
    const { parsed } = await run("tools", { steps, finish: "tool_calls" });
    assert.deepEqual(
      only(parsed, "tool.call").map(({ data }) => [data.id, data.name, data.arguments]),
      [
        ["call-a", "look", '{"where":"here"}'],
        ["call-b", "take", '{"what":[1,2]}'],
      ],
    );
    assert.equal(only(parsed, "result")[0].data.finishReason, "tool_calls");
  });

  test("reasoning and refusals are parts of their own", async () => {
    const { parsed } = await run("parts", { steps: [{ think: "hm" }, { say: "yes" }, { refuse: "but no" }] });
    const byType = (type) =>
      only(parsed, "message.part.updated").filter(({ data }) => data.part.type === type);
    assert.equal(byType("reasoning")[0].data.delta, "hm");
    assert.equal(byType("refusal")[0].data.delta, "but no");
    assert.equal(textOf(parsed), "yes");
  });

  test("a content filter ends the answer, not the turn", async () => {
    const { parsed } = await run("filtered", { steps: say("par"), finish: "content_filter" });
    assert.equal(only(parsed, "result")[0].data.finishReason, "content_filter");
    assert.equal(parsed.at(-1).type, "session.run.completed");
  });

  test("an error object in the stream fails the turn and keeps what came before", async () => {
    const { parsed, asked } = await run("error-object", {
      steps: [...say("so far"), { error: { message: "overloaded", code: 500 } }],
    });
    assert.equal(parsed.at(-1).type, "session.run.failed");
    assert.match(parsed.at(-2).data.message, /overloaded/);
    assert.equal(textOf(parsed), "so far");
    assert.equal(asked.starts, 1);
  });

  test("cut in its middle it is started again, visibly", async () => {
    const { parsed, asked } = await run("cut", {
      steps: say("one ", "two ", "three"),
      starts: [{ dropAfter: 3 }],
    });
    const restarted = only(parsed, "session.run.restarted");
    assert.deepEqual(
      restarted.map(({ data }) => data.attempt),
      [2],
    );
    assert.equal(textOf(lastAttempt(parsed)), "one two three");
    assert.equal(textOf(parsed.slice(0, restarted[0].seq)), "one two ");
    assert.equal(only(parsed, "result")[0].data.finalText, "one two three");
    assert.equal(asked.starts, 2);
  });

  test("closed before the finish it is started again", async () => {
    const { parsed, asked } = await run("closed", { steps: say("one ", "two"), starts: [{ closeAfter: 2 }] });
    assert.equal(only(parsed, "session.run.restarted").length, 1);
    assert.equal(textOf(lastAttempt(parsed)), "one two");
    assert.equal(asked.starts, 2);
  });

  test("silence is a lost stream", async () => {
    const { parsed, asked } = await run("silent", { steps: say("one ", "two"), starts: [{ stallAfter: 2 }] });
    assert.equal(only(parsed, "session.run.restarted").length, 1);
    assert.equal(asked.starts, 2);
  });

  test("starts have a budget", async () => {
    const cut = { dropAfter: 2 };
    const { lines, asked } = await run("always-cut", {
      steps: say("one ", "two"),
      starts: Array(9).fill(cut),
    });
    assertFailed(lines, "upstream_unavailable");
    assert.equal(asked.starts, STARTS);
  });

  test("a refused request is not repeated", async () => {
    const { lines, asked } = await run("refused", { starts: [{ status: 400 }] });
    assertFailed(lines, "upstream_rejected");
    assert.equal(asked.starts, 1);
  });

  test("429 with Retry-After costs time, not the answer", async () => {
    const { parsed } = await run("limited", { steps: say("fine"), starts: [{ status: 429, retryAfter: 1 }] });
    assert.equal(textOf(lastAttempt(parsed)), "fine");
    assert.equal(parsed.at(-1).type, "session.run.completed");
  });

  test("the history of an earlier turn is sent along", async () => {
    await run("talk", { steps: say("first answer") });
    const message = scripted("talk again", { steps: say("second") });
    await client.turn("talk", { message });
    assert.deepEqual(
      upstream.counts(message).bodies[0].messages.map(({ role }) => role),
      ["system", "user", "assistant", "user"],
    );
    assert.equal(upstream.counts(message).bodies[0].messages[2].content, "first answer");
  });
});

test(
  "after a crash in mid-turn it is started again, visibly, within its budget",
  { timeout: 60_000 },
  async () => {
    const session = "crashed";
    const script = { steps: say(..."abcdefghijklmnopqrstuvwxyz"), delayMs: 25 };
    const message = scripted(session, script);
    const reader = new PersistentClient(runtime, session, 0);
    const finished = reader.run({ message });
    await until("some of the answer", () => reader.lines.length > 5);
    await runtime.restart();
    const parsed = assertWholeLog(await finished);
    assert.equal(only(parsed, "session.run.restarted").length, 1);
    assert.equal(textOf(lastAttempt(parsed)), "abcdefghijklmnopqrstuvwxyz");
    assert.equal(upstream.counts(message).starts, 2);
    assert.deepEqual(
      parsed.map((line) => JSON.stringify(line)),
      (await client.log(session, 0)).lines.map((line) => JSON.stringify(JSON.parse(line))),
    );
    const run = (await client.get(`/v1/sessions/${session}/turns/0`)).json();
    assert.equal(run.attempts.length, 2);
  },
);

const LITELLM = process.env.STEADFAST_LITELLM;
const ANSWER = "The quick brown fox answers without a network, naïvely.";
const CONFIG = `
model_list:
  - model_name: mocked
    litellm_params: {model: openai/gpt-4o, api_key: none, mock_response: "${ANSWER}"}
  - model_name: limited
    litellm_params: {model: openai/gpt-4o, api_key: none, mock_response: "litellm.RateLimitError"}
litellm_settings: {num_retries: 0, telemetry: false}
`;

/** LiteLLM's proxy on a free port, until `stop`. */
async function startLiteLlm() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  probe.close();
  await once(probe, "close");
  const dir = mkdtempSync(join(tmpdir(), "steadfast-litellm-"));
  const config = join(dir, "config.yaml");
  writeFileSync(config, CONFIG);
  // It refuses to start without a strong key of its own, and would fetch these lists at its start.
  const key = `sk-${randomBytes(32).toString("hex")}`;
  const local = {
    LITELLM_LOCAL_MODEL_COST_MAP: "True",
    LITELLM_LOCAL_POLICY_TEMPLATES: "True",
    LITELLM_LOCAL_BLOG_POSTS: "True",
  };
  const env = { ...process.env, ...local, LITELLM_MASTER_KEY: key };
  const proxy = spawn(LITELLM, ["--config", config, "--host", "127.0.0.1", "--port", String(port)], {
    env,
    cwd: dir,
  });
  let output = "";
  for (const stream of [proxy.stdout, proxy.stderr])
    stream.on("data", (bytes) => (output = (output + bytes).slice(-8_000)));
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    if (proxy.exitCode === null && proxy.signalCode === null) {
      const gone = once(proxy, "exit");
      proxy.kill("SIGKILL");
      await gone;
    }
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await until(
      "LiteLLM serves",
      async () => {
        if (proxy.exitCode !== null) throw new Error(`LiteLLM ended:\n${output}`);
        return (await fetch(`${url}/health/liveliness`).catch(() => null))?.ok;
      },
      { ms: 120_000, everyMs: 200 },
    );
  } catch (error) {
    await stop();
    throw new Error(`${error.message}\n${output}`);
  }
  return { url, key, stop };
}

test("LiteLLM's proxy", { timeout: 240_000 }, async (t) => {
  if (!LITELLM) {
    if (process.env.CI) assert.fail("STEADFAST_LITELLM is unset: in CI this test must run");
    console.error(
      "\n!! LiteLLM's proxy was NOT tested: set STEADFAST_LITELLM to its binary (`make test` does)\n",
    );
    return t.skip("STEADFAST_LITELLM is unset");
  }
  const proxy = await startLiteLlm();
  const vars = {
    UPSTREAM: "openai-chat",
    UPSTREAM_URL: `${proxy.url}/v1`,
    UPSTREAM_MODEL: "mocked,limited",
    UPSTREAM_KEY: proxy.key,
    UPSTREAM_ATTEMPTS: 2,
  };
  const real = await startRuntime({ vars: scriptedVars(upstream, vars) });
  try {
    const caller = new Client(real);
    await t.test("streams its mocked model", async () => {
      const reading = await caller.turn("litellm", { message: "hi" });
      const parsed = assertWholeLog(reading.lines);
      assert.equal(textOf(parsed), ANSWER);
      assert.equal(only(parsed, "result")[0].data.finalText, ANSWER);
      assert.equal(parsed.at(-1).type, "session.run.completed");
      assert.ok(only(parsed, "message.part.updated").length > 1, "it came in pieces");
    });
    await t.test("its rate limit ends the turn once the budget is gone", async () => {
      const reading = await caller.turn("litellm-limited", { message: "hi", model: "limited" });
      assertFailed(reading.lines, "upstream_unavailable");
    });
  } finally {
    await real.stop();
    await proxy.stop();
  }
});
