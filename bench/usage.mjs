// What a process takes of the machine: CPU time and memory of workerd.
//
// Owns reading them from the system. Invariant: a figure is of one process, found below the one that we started.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename } from "node:path";

/** The kernel's clock ticks of `/proc/<pid>/stat`: 100 a second on every Linux that Node runs on. */
const TICK_MS = 10;

const ps = (...args) => execFileSync("ps", args, { encoding: "utf8" }).trim();

/** The workerd that a host process runs. */
export function workerdOf(hostPid) {
  const found = ps("-A", "-o", "pid=,ppid=,state=,comm=")
    .split("\n")
    .map((row) => row.trim().split(/\s+/))
    .find(
      ([, parent, state, command]) =>
        Number(parent) === hostPid && basename(command ?? "").startsWith("workerd") && state[0] !== "Z",
    );
  if (!found) throw new Error(`no workerd below process ${hostPid}`);
  return Number(found[0]);
}

/** CPU time of a process so far, user and system, in ms. */
export function cpuMs(pid) {
  if (process.platform !== "linux") return ofClock(ps("-o", "cputime=", "-p", String(pid)));
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The command's name stands in brackets and may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** `[[d-]h:]m:s.hh` as ms. */
function ofClock(text) {
  const parts = text.trim().split(/[-:]/).map(Number);
  const [seconds, minutes = 0, hours = 0, days = 0] = parts.toReversed();
  return 1_000 * (seconds + 60 * (minutes + 60 * (hours + 24 * days)));
}

/** Memory of a process that is in the machine's RAM, in KB. */
export function residentKilobytes(pid) {
  return Number(ps("-o", "rss=", "-p", String(pid)));
}
