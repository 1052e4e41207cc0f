// A command that is run for its output, and never for longer than it may.
//
// Owns its process group. Invariant: whatever the command started is gone when its outcome is told, and when this
// process ends.

import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { createInterface } from "node:readline";

// A fault may make a test say something for ever.
const MOST_LINES = 200_000;
// One that makes it allocate for ever must not take the machine along.
const MEMORY_KB = 6_000_000;
// What was said on one pipe may come behind what was said later on the other.
const GRACE_MS = 300;

let running;

/** Ends what runs at present. */
export function endAll() {
  if (running === undefined) return;
  try {
    process.kill(-running, "SIGKILL");
  } catch {
    // The group ended by itself in between.
  }
}

/**
 * Runs a command until it ends, `until` says so of a line, it says nothing for `quiet` seconds, or its seconds are over:
 * `{how, code, seconds, lines}` with `how` one of "ended", "seen" and "late". `bounded` limits its memory. All that it said
 * goes to the file `log`, too.
 */
export function run(command, args, { cwd, env, seconds, quiet = seconds, log, until = () => false, bounded = false }) {
  const began = performance.now();
  const passed = () => (performance.now() - began) / 1000;
  const limited = ["sh", ["-c", `ulimit -v ${MEMORY_KB}; exec "$@"`, "sh", command, ...args]];
  const [program, given] = bounded ? limited : [command, args];
  const child = spawn(program, given, {
    cwd,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  running = child.pid;
  const file = createWriteStream(log);
  const lines = [];
  let how = "ended";
  let at;
  const end = (why) => {
    how = why;
    at = passed();
    endAll();
  };
  const late = setTimeout(() => end("late"), seconds * 1000);
  const silent = setTimeout(() => end("late"), quiet * 1000);
  let grace;
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      silent.refresh();
      if (lines.length >= MOST_LINES) return;
      lines.push(line);
      file.write(`${line}\n`);
      if (grace === undefined && until(line)) {
        const seenAt = passed();
        grace = setTimeout(() => {
          end("seen");
          at = seenAt;
        }, GRACE_MS);
      }
    });
  }
  return new Promise((done, failed) => {
    child.once("error", failed);
    child.once("close", (code, signal) => {
      clearTimeout(late);
      clearTimeout(silent);
      clearTimeout(grace);
      // Processes that it left behind have its group.
      endAll();
      running = undefined;
      const outcome = { how, code: code ?? signal, seconds: at ?? passed(), lines };
      file.end(() => done(outcome));
    });
  });
}
