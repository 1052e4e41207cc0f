// A line at 50 a second: from the upstream's write of a frame to the client's read of its line.

import { above, figure } from "../context.mjs";
import { GAP_MS } from "../plan.mjs";
import { median, quantile } from "../stats.mjs";
import { PASS } from "../subjects.mjs";

export default {
  key: "line",
  title: "Latency of a line",
  async measure(context) {
    const { rounds, lines } = context.plan.line;
    const results = await context.rounds(rounds, "lines", context.of("line"), async (subject, round) => {
      const { turn } = await context.at(subject);
      return (await turn({ lines, gapMs: GAP_MS }, `${subject.name}-line-${round}`)).delaysMs;
    });
    const p99 = (delays) => quantile(delays, 0.99);
    return [
      figure("line.p50", "a line at 50/s, p50", "ms", results, median),
      figure("line.p50.above", "… above the pass-through", "ms", above(results, PASS.key, median)),
      figure("line.p99", "a line at 50/s, p99", "ms", results, p99),
      figure("line.p99.above", "… above the pass-through", "ms", above(results, PASS.key, p99)),
    ];
  },
};
