// Many viewers of one turn: the latency of a line over all of them, once all are there.

import { figure } from "../context.mjs";
import { GAP_MS } from "../plan.mjs";
import { BEHIND_MS } from "../measure.mjs";
import { quantile } from "../stats.mjs";

/** Lines that the viewers need to come: a hundred of them take a second. */
const LINES_TO_COME = 100;

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
  const all = [delaysOf(counted, () => joinedAt, last)];
  while (all.length < viewers) all.push(delaysOf(await resume(session), () => joinedAt, last));
  joinedAt = seen;
  if (joinedAt > LINES_TO_COME) throw new Error(`the viewers came only at line ${joinedAt}`);
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
