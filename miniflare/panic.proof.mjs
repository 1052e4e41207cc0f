// A panic in the examples' Workers, built with the tests' faults: what `panic.test.mjs` says of the ready one.
//
// Owns the two that `make proof` builds for it, which `make test` doesn't.

import { join } from "node:path";
import { test } from "node:test";
import { Client } from "./client.mjs";
import { CUSTOM_WORKER, PLAIN_WORKER, startRuntime } from "./harness.mjs";
import { panicAt, SECRET } from "./panic.mjs";
import { ScriptedUpstream, transcript } from "./upstream.mjs";

const example = (root, vars) =>
  startRuntime({ root, build: join(root, "build-faults"), vars: { AUTH_MODE: "none", ...vars } });

for (const at of ["session", "request"]) {
  test(`a Worker on session_object!: a panic in a ${at}`, { timeout: 120_000 }, async () => {
    const runtime = await example(CUSTOM_WORKER, { UPSTREAM: "recite", RECITE_PAUSE_MS: 20, WATCHDOG_MS: 1_000 });
    try {
      const turn = { message: `${SECRET} ${Array.from({ length: 150 }, (_, n) => `w${n}`).join(" ")}` };
      // Its object is the instance's first, and not the one that panics.
      const { lines } = await new Client(runtime).turn("undisturbed", turn);
      const told = ["panics", "bystander"].map((session) => ({
        session,
        turn,
        lines: lines.map((line) => line.replaceAll("undisturbed", session)),
      }));
      await panicAt(runtime, at, told);
    } finally {
      await runtime.stop();
    }
  });
}

test("a Worker without objects: a panic in a request", { timeout: 120_000 }, async () => {
  const upstream = await ScriptedUpstream.start();
  const runtime = await example(PLAIN_WORKER, { UPSTREAM_URL: upstream.url, LEASE_MS: 1_500 });
  try {
    const script = { lines: 150, delayMs: 20 };
    const told = ["panics", "bystander"].map((session) => ({
      session,
      turn: { message: SECRET, turnIndex: 0, metadata: { script } },
      lines: transcript(script, { session }),
    }));
    await panicAt(runtime, "request", told);
  } finally {
    await runtime.stop();
    await upstream.close();
  }
});
