// Bytes that a client is sent when it comes back, over the bytes that it has not seen.
//
// What it missed is taken from an undisturbed reading of the same script: everything behind the line at which the other
// one left. 1 is no byte too many.

import { setTimeout as pause } from "node:timers/promises";
import { figure } from "../context.mjs";

const GAP_MS = 10;
/** Between the upstream's last frame and the client's return: every subject has taken and stored the end by then. */
const AFTER_END_MS = 500;

/** Everything that a client is sent for a turn, and how much of it up to line `seen`. */
async function undisturbed({ open }, script, session, seen) {
  const reading = await open(script, session);
  let before = 0;
  for await (const line of reading.lines) if (line.n === seen) before = line.through;
  return { bytes: reading.bytes, before };
}

/** A client that leaves at line `seen` and comes back after `awayMs`: the bytes it is sent then. */
async function comesBack({ open, resume }, script, session, seen, awayMs) {
  const left = await open(script, session);
  let last;
  for await (const line of left.lines) {
    last = line;
    if (line.n === seen) break;
  }
  left.close();
  await pause(awayMs);
  const back = await resume(session, { after: last.seq });
  for await (const line of back.lines) last = line;
  if (last.n !== script.lines)
    throw new Error(`the client that came back ended at line ${last.n} of ${script.lines}`);
  return back.bytes;
}

export default {
  key: "resume",
  title: "Bytes on resume",
  note:
    "ai-chat has no cursor: in mid-turn it sends the turn from its start. After the end its client loads the transcript, " +
    "which has a line's text without its frame and so may be less than what was missed of the stream.",
  async measure(context) {
    const { rounds, lines, seen } = context.plan.resume;
    const able = context.returning("resume");
    const results = await context.rounds(rounds, "resume", able, async (subject, round) => {
      const bound = await context.at(subject);
      const script = { lines, gapMs: GAP_MS };
      const { bytes, before } = await undisturbed(bound, script, `${subject.name}-stay-${round}`, seen);
      const midMs = ((lines - seen) * GAP_MS) / 4;
      const mid = await comesBack(bound, script, `${subject.name}-soon-${round}`, seen, midMs);
      const endMs = (lines - seen) * GAP_MS + AFTER_END_MS;
      const end = await comesBack(bound, script, `${subject.name}-late-${round}`, seen, endMs);
      return { mid, end, missing: bytes - before };
    });
    return [
      figure(
        "resume.mid",
        "back in mid-turn, bytes sent over bytes missing",
        "×",
        results,
        ({ mid, missing }) => mid / missing,
      ),
      figure(
        "resume.end",
        "back after the end, bytes sent over bytes missing",
        "×",
        results,
        ({ end, missing }) => end / missing,
      ),
      figure("resume.missing", "bytes missing", "bytes", results, ({ missing }) => missing),
    ];
  },
};
