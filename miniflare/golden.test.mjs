// Golden conversations: whole logs byte for byte, on each upstream, in both framings. `GOLDEN=update` writes them anew.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Client, NDJSON, SSE } from "./client.mjs";
import { startRuntime } from "./harness.mjs";
import { scripted } from "./openai_upstream.mjs";
import { ScriptedUpstream, scriptedVars } from "./upstream.mjs";

const DIR = join(import.meta.dirname, "..", "tests", "golden");
const UPDATE = process.env.GOLDEN === "update";

/** The conversations: turns of one session, each in its own pair of files `<name>-<turn>.{ndjson,sse}`. */
const CONVERSATIONS = {
  demo: [
    {
      message: "What keeps a turn alive? 🚀",
      upstream: "demo",
      metadata: { demo: { words: 14, delayMs: 0 } },
    },
    {
      message: "And if it fails?",
      upstream: "demo",
      metadata: { demo: { words: 14, delayMs: 0, failAfter: 6 } },
    },
  ],
  sandbox: [
    {
      message: "hello",
      upstream: "sandbox",
      metadata: { script: { lines: 6, emojiSplit: true, hugeNumber: true, prettyJson: true } },
    },
    {
      message: "cut and gone",
      upstream: "sandbox",
      metadata: { script: { lines: 5, connections: [{ dropAfter: 4 }, { status: 410 }] } },
    },
    { message: "refuse", upstream: "sandbox", metadata: { script: { lines: 3, fails: "out of luck" } } },
    { message: "forge", upstream: "sandbox", metadata: { script: { lines: 3, forgedAt: 2 } } },
  ],
  "openai-chat": [
    {
      upstream: "openai-chat",
      message: scripted("a tool", {
        steps: [
          { think: "let me see" },
          { say: "Looking" },
          { say: "…" },
          { call: { id: "call-1", name: "look", args: '{"at":"it"}' } },
        ],
        finish: "tool_calls",
      }),
    },
    {
      upstream: "openai-chat",
      message: scripted("plain", { steps: [{ say: "Here " }, { say: "it is \u{1f680}" }] }),
    },
    {
      upstream: "openai-chat",
      message: scripted("broken", { steps: [{ say: "one " }, { say: "two" }], starts: [{ dropAfter: 2 }] }),
    },
  ],
};

let upstream, runtime, client;
before(async () => {
  if (UPDATE) mkdirSync(DIR, { recursive: true });
  upstream = await ScriptedUpstream.start();
  runtime = await startRuntime({ vars: scriptedVars(upstream) });
  client = new Client(runtime);
});
after(async () => {
  await runtime?.stop();
  await upstream?.close();
});

const expectedFiles = new Set();

function compare(file, text) {
  expectedFiles.add(file);
  const path = join(DIR, file);
  if (UPDATE) writeFileSync(path, text);
  assert.ok(existsSync(path), `${file} is missing: run with GOLDEN=update and read what it wrote`);
  assert.equal(text, readFileSync(path, "utf8"), file);
}

for (const [name, turns] of Object.entries(CONVERSATIONS)) {
  test(`the ${name} conversation`, async () => {
    for (const [turnIndex, turn] of turns.entries()) {
      const session = `golden-${name}`;
      const first = await client.turn(session, { ...turn, turnIndex });
      assert.equal(first.status, 200, first.text);
      compare(`${name}-${turnIndex}.ndjson`, first.text);
      const sse = await client.log(session, turnIndex, { accept: SSE });
      compare(`${name}-${turnIndex}.sse`, sse.text);
      assert.equal((await client.log(session, turnIndex, { accept: NDJSON })).text, first.text);
    }
  });
}

test("no golden file is left over", () => {
  const ours = new RegExp(`^(${Object.keys(CONVERSATIONS).join("|")})-\\d+\\.(ndjson|sse)$`);
  const found = readdirSync(DIR).filter((file) => ours.test(file));
  assert.deepEqual(found.toSorted(), [...expectedFiles].toSorted());
});
