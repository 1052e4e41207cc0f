// Many sessions at once at 20 lines a second each: the latency of a line over all of them.
//
// Each subject is alone, since it may fill the machine; one that does not keep up at all is ended and named. The
// sessions are there before, and begin within one gap, spread over it.

import { setTimeout as pause } from "node:timers/promises";
import { figure } from "../context.mjs";
import { quantile } from "../stats.mjs";

const SHORT = { lines: 1, gapMs: 1 };
/** Sessions that are made at once before. */
const MADE_AT_ONCE = 10;

/** Runs `work` for each of `count`, so many at once. */
export async function eachOf(count, atOnce, work) {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, worker));
}

export async function sessionsAtOnce({ turn }, { sessions, lines, gapMs }, prefix) {
  await eachOf(sessions, MADE_AT_ONCE, (n) => turn(SHORT, `${prefix}-${n}`));
  const turns = Array.from({ length: sessions }, async (_, n) => {
    await pause((gapMs * n) / sessions);
    return (await turn({ lines, gapMs }, `${prefix}-${n}`)).delaysMs;
  });
  return (await Promise.all(turns)).flat();
}

export default {
  key: "many",
  title: "Many sessions",
  note:
    "Lines 50 ms apart with a window of 50 ms are a commit each: 4,000 a second of this one process, one thread and one " +
    "disk, which can't keep up, so that the figure grows with the turns' length. Compare within the row.",
  async measure(context) {
    const { rounds, sessions, lines, gapMs } = context.plan.many;
    const results = await context.rounds(rounds, "many sessions", context.of("many"), (subject) =>
      context.alone(subject, (bound) => sessionsAtOnce(bound, { sessions, lines, gapMs }, "many")),
    );
    const title = `${sessions} sessions at ${1_000 / gapMs}/s`;
    return [
      figure("many.p50", `${title}, p50`, "ms", results, (delays) => quantile(delays, 0.5)),
      figure("many.p99", `${title}, p99`, "ms", results, (delays) => quantile(delays, 0.99)),
    ];
  },
};
