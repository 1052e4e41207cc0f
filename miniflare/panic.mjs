// What a panic does in a built Worker, whichever it is: told once, told without content, and over with the instance.
//
// Owns the harm and its judgement; the files that name a Worker own which turns are told meanwhile.
// Invariant: a Worker that answers after a panic does so in a new instance, for one that has trapped answers nobody.

import assert from "node:assert/strict";
import { Client, PersistentClient } from "./client.mjs";
import { assertPrefix } from "./expect.mjs";
import { until } from "./harness.mjs";

/** What users wrote; no log may hold it. */
export const SECRET = "hunter2";

/** The words of the hook's panic, once, with file and line, and nothing of what a user wrote. */
function assertToldOnce(output) {
  const told = output.match(/fault: panicked/g) ?? [];
  assert.equal(told.length, 1, output);
  assert.match(output, /panicked at src\/cloudflare\/faults\.rs:\d+:\d+:\nfault: panicked\n/);
  assert.ok(!output.includes(SECRET), output);
}

/**
 * Panics at `at` while the turns of `told` stream: `{session, turn, lines}`, of which the first is the session that the
 * harm is named after. All of them come to the end that they would have come to.
 */
export async function panicAt(runtime, at, told) {
  const readers = told.map(({ session }) => new PersistentClient(runtime, session, 0));
  const turns = Promise.all(told.map(({ turn }, n) => readers[n].run(turn)));
  // Awaited below; a check that fails before must be what is reported, not the turns that it leaves behind.
  turns.catch(() => {});
  await until("all stream", () => readers.every(({ lines }) => lines.length > 20));
  const client = new Client(runtime);
  const before = runtime.output().length;
  // It dies in the middle of answering: the caller is told so, and soon.
  const answer = await client.post(`/__faults/${told[0].session}?at=${at}`, { panic: true });
  assert.ok(answer.status >= 500, `${answer.status} ${answer.text}`);
  for (const [n, lines] of (await turns).entries()) {
    assert.deepEqual(lines, told[n].lines, told[n].session);
    for (const connection of readers[n].connections) assertPrefix(connection, lines);
  }
  assertToldOnce(runtime.output().slice(before));
}
