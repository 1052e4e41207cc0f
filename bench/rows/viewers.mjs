// Many viewers of one turn: the latency of a line over all of them, once all are there.

import { figure } from "../context.mjs";
import { GAP_MS } from "../plan.mjs";
import { BEHIND_MS } from "../measure.mjs";
import { quantile } from "../stats.mjs";
import { eachOf } from "./many.mjs";

/** Lines in which the viewers come: a hundred of them take a second on a machine that is not busy. */
const LINES_TO_COME = 100;
/** … and how many must be left once all are there, for a figure of them. */
const LEAST_LINES = 20;
const COMING_AT_ONCE = 8;

async function delaysOf(reading, from, last) {
  const delays = [];
  let n = 0;
  for await (const line of reading.lines) {
    n += 1;
    if (line.n !== n) throw new Error(`line ${line.n} came as number ${n}`);
    if (line.n > from()) delays.push(BEHIND_MS + line.at - line.sentAt);
    if (line.n === last) break;
  }
  reading.close();
  if (n !== last) throw new Error(`a viewer got ${n} of ${last} lines`);
  return delays;
}

/** Delays of the lines that came after the last of `viewers` had joined. */
export async function watched({ open, resume }, { viewers, lines }, session) {
  const last = lines + LINES_TO_COME;
  const first = await open({ lines: last, gapMs: GAP_MS }, session);
  let seen = 0;
  let joinedAt = Infinity;
  const counted = {
    lines: (async function* () {
      for await (const line of first.lines) {
        seen = line.n;
        yield line;
      }
    })(),
    close: () => first.close(),
  };
  const all = [];
  const read = (reading) => {
    const delays = delaysOf(reading, () => joinedAt, last);
    // A viewer may fail before all have come; whoever waits for them all hears of it.
    delays.catch(() => {});
    all.push(delays);
  };
  read(counted);
  await eachOf(viewers - 1, COMING_AT_ONCE, async () => read(await resume(session)));
  joinedAt = seen;
  if (joinedAt > last - LEAST_LINES) throw new Error(`the last viewer came at line ${joinedAt} of ${last}`);
  return { lines: last, delays: (await Promise.all(all)).flat() };
}

export default {
  key: "viewers",
  title: "Viewers",
  async measure(context) {
    const { rounds, viewers, lines } = context.plan.viewers;
    const able = context.returning("viewers");
    const results = await context.rounds(rounds, "viewers", able, async (subject, round) => {
      const bound = await context.at(subject);
      return (await watched(bound, { viewers, lines }, `${subject.name}-viewers-${round}`)).delays;
    });
    return [
      figure("viewers.p50", `${viewers} viewers of one turn, p50`, "ms", results, (delays) =>
        quantile(delays, 0.5),
      ),
      figure("viewers.p99", `${viewers} viewers of one turn, p99`, "ms", results, (delays) =>
        quantile(delays, 0.99),
      ),
    ];
  },
};
