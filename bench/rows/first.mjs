// From a request to the first line of the answer's text; the opening line comes before it.

import { above, figure } from "../context.mjs";
import { PASS } from "../subjects.mjs";

const SHORT = { lines: 3, gapMs: 20 };

export default {
  key: "first",
  title: "Time to first line",
  async measure(context) {
    const results = await context.rounds(context.plan.first.rounds, "first line", context.subjects, async (subject, round) => {
      const { turn } = await context.at(subject);
      const session = `${subject.name}-first-${round}`;
      return { fresh: (await turn(SHORT, session)).firstMs, next: (await turn(SHORT, session)).firstMs };
    });
    const [fresh, next] = [(turn) => turn.fresh, (turn) => turn.next];
    return [
      figure("first.fresh", "first line, new session", "ms", results, fresh),
      figure("first.fresh.above", "… above the pass-through", "ms", above(results, PASS.key, fresh)),
      figure("first.next", "first line, next turn", "ms", results, next),
      figure("first.next.above", "… above the pass-through", "ms", above(results, PASS.key, next)),
    ];
  },
};
