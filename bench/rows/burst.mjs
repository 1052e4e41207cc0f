// From a request to the last line of a burst, which the upstream writes as fast as it is taken.

import { figure } from "../context.mjs";

export default {
  key: "burst",
  title: "Burst",
  async measure(context) {
    const { rounds, lines } = context.plan.burst;
    const results = await context.rounds(rounds, "burst", context.of("burst"), async (subject, round) => {
      const { turn } = await context.at(subject);
      return (await turn({ lines, gapMs: 0 }, `${subject.name}-burst-${round}`)).totalMs;
    });
    return [figure("burst.ms", `burst of ${lines} lines`, "ms", results)];
  },
};
