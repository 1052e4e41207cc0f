// `make kill`: SIGKILL for the runtime of the `make dev` that has this PORT and STATE_DIR.
//
// Owns nothing that lives on. Invariant: only a workerd below the server that left its note is killed.

import { readFileSync } from "node:fs";
import { place, workerdOf } from "./place.mjs";

function fail(message) {
  console.error(`make kill: ${message}`);
  process.exit(1);
}

function server(note) {
  try {
    return Number(readFileSync(note, "utf8"));
  } catch {
    return 0;
  }
}

const { port, state, note } = place();
const { runtime } = workerdOf(server(note), port);
if (runtime.length === 0) {
  fail(`no \`make dev\` runs at port ${port} with its state in ${state}. Another one: PORT=8788 STATE_DIR=… make kill`);
}
for (const pid of runtime) process.kill(pid, "SIGKILL");
console.log(`make kill: workerd ${runtime.join(", ")} was killed with SIGKILL; wrangler starts the next one by itself.`);
