// Bytes that a client is sent when it comes back, over the bytes that it has not seen.
//
// A client leaves in mid-turn and comes back when the turn is over. What it missed is taken from an undisturbed reading
// of the same script: everything behind the line at which the other one left. 1 is no byte too many.

import { setTimeout as pause } from "node:timers/promises";
import { figure } from "../context.mjs";

const GAP_MS = 10;
/** Between the upstream's last frame and the client's return: every subject has taken and stored the end by then. */
const AFTER_END_MS = 500;

export default {
  key: "resume",
  title: "Bytes on resume",
  async measure(context) {
    const { rounds, lines, seen } = context.plan.resume;
    const able = context.subjects.filter(({ resumes }) => resumes);
    const results = await context.rounds(rounds, "resume", able, async (subject, round) => {
      const { open, resume } = await context.at(subject);
      const script = { lines, gapMs: GAP_MS };
      const whole = await open(script, `${subject.name}-stay-${round}`);
      let before = 0;
      for await (const line of whole.lines) if (line.n === seen) before = line.through;
      const left = await open(script, `${subject.name}-quit-${round}`);
      let last;
      for await (const line of left.lines) {
        last = line;
        if (line.n === seen) break;
      }
      left.close();
      await pause((lines - seen) * GAP_MS + AFTER_END_MS);
      const back = await resume(`${subject.name}-quit-${round}`, { after: last.seq });
      for await (const line of back.lines) last = line;
      if (last.n !== lines) throw new Error(`the client that came back ended at line ${last.n} of ${lines}`);
      return { sent: back.bytes, missing: whole.bytes - before };
    });
    return [
      figure("resume.ratio", "bytes on resume over bytes missing", "×", results, ({ sent, missing }) => sent / missing),
      figure("resume.sent", "… bytes sent", "bytes", results, ({ sent }) => sent),
    ];
  },
};
