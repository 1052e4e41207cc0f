// Memory of workerd for each session: the slope of its resident size over the number of sessions.
//
// Each subject is alone in a process. An idle session has had one short turn and is still in memory; a live one has a
// turn that is going on, with its client.

import { setTimeout as pause } from "node:timers/promises";
import { figure } from "../context.mjs";
import { slope } from "../stats.mjs";
import { PASS } from "../subjects.mjs";
import { residentKilobytes } from "../usage.mjs";
import { eachOf } from "./many.mjs";

const STEPS = 4;
const AT_ONCE = 10;
const SETTLE_MS = 300;
const SHORT = { lines: 3, gapMs: 1 };
/** Longer than the row takes. */
const LONG = { lines: 120, gapMs: 500 };

async function grown(pid, sessions, add) {
  const points = [[0, residentKilobytes(pid)]];
  const step = sessions / STEPS;
  for (let n = 1; n <= STEPS; n++) {
    await eachOf(step, AT_ONCE, (place) => add((n - 1) * step + place));
    await pause(SETTLE_MS);
    points.push([n * step, residentKilobytes(pid)]);
  }
  return slope(points);
}

export default {
  key: "memory",
  title: "Memory",
  async measure(context) {
    const { rounds, sessions } = context.plan.memory;
    const results = await context.rounds(rounds, "memory", context.of("memory"), (subject) =>
      context.alone(subject, async ({ pid, turn, open }) => {
        const started = residentKilobytes(pid);
        const idle = await grown(pid, sessions, (n) => turn(SHORT, `idle-${n}`));
        const clients = [];
        const live = await grown(pid, sessions, async (n) => {
          const client = await open(LONG, `live-${n}`);
          clients.push(client);
          for await (const _ of client.lines) break;
        });
        for (const client of clients) client.close();
        return { started, idle, live };
      }),
    );
    const withSessions = Object.fromEntries(Object.entries(results).filter(([key]) => key !== PASS.key));
    return [
      figure("memory.started", "memory of workerd, warmed up", "KB", results, ({ started }) => started),
      figure("memory.idle", "… for an idle session", "KB", withSessions, ({ idle }) => idle),
      figure("memory.live", "… for a live session", "KB", results, ({ live }) => live),
    ];
  },
};
