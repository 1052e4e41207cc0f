// Which `make dev` is meant, and where its processes are.
//
// Owns what PORT and STATE_DIR mean, the note that a running server leaves for `make kill`, and how its
// workerd is found. It starts and ends nothing. Invariant: two servers with another port or another state
// folder have two notes.

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const HOST = "127.0.0.1";

/** The port and state folder that the environment names, and the file in which that server's process id stands. */
export function place() {
  const text = process.env.PORT || "8787";
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new Error(`PORT must be a number from 1 to 65535, not "${text}".`);
  }
  const state = resolve(process.env.STATE_DIR || ".state");
  return { port, state, note: join(state, `dev-${port}.pid`) };
}

/** A process's children with their arguments, as `/proc` tells them, or `ps` where there is none. */
function children(parent) {
  if (!existsSync("/proc/self/task")) {
    const lines = execFileSync("ps", ["-axo", "pid=,ppid=,args="], { encoding: "utf8" }).split("\n");
    return lines
      .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
      .filter((found) => Number(found?.[2]) === parent)
      .map(([, pid, , args]) => ({ pid: Number(pid), args }));
  }
  const found = [];
  try {
    for (const task of readdirSync(`/proc/${parent}/task`)) {
      for (const pid of readFileSync(`/proc/${parent}/task/${task}/children`, "utf8").split(" ").filter(Boolean)) {
        found.push({ pid: Number(pid), args: readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ") });
      }
    }
  } catch {
    // A process ended while we looked: whoever wants it looks again.
  }
  return found;
}

/**
 * The workerd processes below a server: `proxy` is wrangler's, which has the server's port and stays where it is
 * when the Worker is built anew; `runtime` is the one in which the Worker runs.
 */
export function workerdOf(server, port) {
  const all = children(server).filter(({ args }) => /^\S*\/workerd serve /.test(args));
  const isProxy = ({ args }) => args.includes(`=${HOST}:${port} `);
  const pids = (some) => some.map(({ pid }) => pid);
  return { proxy: pids(all.filter(isProxy)), runtime: pids(all.filter((one) => !isProxy(one))) };
}
