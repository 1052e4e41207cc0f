// From a request to the first line of the answer's text; the opening line comes before it.

import { above, figure } from "../context.mjs";
import { PASS } from "../subjects.mjs";

const SHORT = { lines: 3, gapMs: 20 };

export default {
  key: "first",
  title: "Time to first line",
  note:
    "From a request to the first line of the answer's text. A client of ai-chat loads the session's messages and connects " +
    "before it may ask, which makes a new session's object; ours asks at once, and its first request makes object and tables.",
  async measure(context) {
    const results = await context.rounds(
      context.plan.first.rounds,
      "first line",
      context.of("first"),
      async (subject, round) => {
        const { turn } = await context.at(subject);
        const session = `${subject.name}-first-${round}`;
        return { fresh: await turn(SHORT, session), next: await turn(SHORT, session) };
      },
    );
    const loaded = ({ fresh }) => fresh.firstMs + (fresh.connectMs ?? 0);
    const fresh = (turns) => turns.fresh.firstMs;
    const next = (turns) => turns.next.firstMs;
    return [
      figure("first.loaded", "first line, new session", "ms", results, loaded),
      figure("first.fresh", "… without connecting before", "ms", results, fresh),
      figure("first.loaded.above", "… above the pass-through", "ms", above(results, PASS.key, loaded)),
      figure("first.next", "first line, next turn", "ms", results, next),
      figure("first.next.above", "… above the pass-through", "ms", above(results, PASS.key, next)),
    ];
  },
};
