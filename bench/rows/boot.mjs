// The first request of all: a new process, an empty database, nothing compiled.

import { figure } from "../context.mjs";

const SHORT = { lines: 3, gapMs: 20 };

export default {
  key: "boot",
  title: "First request",
  async measure(context) {
    const results = await context.rounds(
      context.plan.boot.rounds,
      "first request",
      context.of("boot"),
      (subject) =>
        context.alone(subject, async ({ turn }) => (await turn(SHORT, "first")).firstMs, { isWarm: false }),
    );
    return [figure("boot.first", "first line of the first request after boot", "ms", results)];
  },
};
