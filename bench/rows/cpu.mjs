// CPU time of workerd for a thousand lines: each subject alone in a process, what the idle process takes left out.

import { setTimeout as pause } from "node:timers/promises";
import { figure } from "../context.mjs";
import { GAP_MS } from "../plan.mjs";
import { cpuMs } from "../usage.mjs";

const IDLE_MS = 2_000;
/** What follows a turn's last line, shipping above all, is part of its cost. */
const SETTLE_MS = 1_000;

/** CPU ms that `work` costs beyond what the idle process takes; the subject is alone. */
export async function costOf(pid, work) {
  const idleFrom = cpuMs(pid);
  await pause(IDLE_MS);
  const idleShare = (cpuMs(pid) - idleFrom) / IDLE_MS;
  return measured(pid, idleShare, work);
}

async function measured(pid, idleShare, work) {
  const [from, began] = [cpuMs(pid), performance.now()];
  await work();
  await pause(SETTLE_MS);
  return Math.max(1, cpuMs(pid) - from - idleShare * (performance.now() - began));
}

export default {
  key: "cpu",
  title: "CPU",
  async measure(context) {
    const { rounds, sessions, lines } = context.plan.cpu;
    const results = await context.rounds(rounds, "CPU", context.of("cpu"), (subject) =>
      context.alone(subject, async ({ pid, turn }) => {
        const script = { lines, gapMs: GAP_MS };
        // The sessions are there before, as in a deployment that runs.
        await Promise.all(
          Array.from({ length: sessions }, (_, n) => turn({ lines: 50, gapMs: 2 }, `cpu-${n}`)),
        );
        await pause(SETTLE_MS);
        const turns = () => Promise.all(Array.from({ length: sessions }, (_, n) => turn(script, `cpu-${n}`)));
        return (1_000 * (await costOf(pid, turns))) / (sessions * lines);
      }),
    );
    return [figure("cpu.thousand", "CPU of workerd for 1,000 lines at 50/s", "ms", results)];
  },
};
