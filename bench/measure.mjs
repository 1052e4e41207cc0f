// One measured turn, and the statistics of many.
//
// Owns what a client sees of a turn: when each line was there. It reads every framing alike, by the tokens in the
// body, and refuses a turn that is not whole and in order: a broken run gives no figures.

import { setTimeout as pause } from "node:timers/promises";
import { NDJSON, request } from "../miniflare/client.mjs";

const TOKEN = /"delta":"token-(\d+) ","sentAt":([\d.]+)\}/g;

/** The longest turn here is a burst stored event by event: some ten seconds, on a busy machine several times that. */
const TURN_PATIENCE_MS = 180_000;

/**
 * Milliseconds of the machine's monotonic clock, which all its processes share. Two processes' `performance.timeOrigin`
 * were seen to differ by several: each is the wall clock as it stood at that process' start.
 */
const clock = () => Number(process.hrtime.bigint()) / 1e6;
/** What `performance.now()` is behind that clock; both run alike. */
const BEHIND_MS = clock() - performance.now();

/** Runs a turn of `script` at `url`; times in ms. `delaysMs` are from the upstream's write to the client's read. */
export async function measureTurn(url, script, session) {
  const asked = performance.now();
  const reading = await request(url, {
    method: "POST",
    path: `/v1/sessions/${session}/turns`,
    headers: { "content-type": "application/json", accept: NDJSON },
    body: JSON.stringify({ message: "go", metadata: { bench: script } }),
  });
  const ended = await Promise.race([reading.done, pause(TURN_PATIENCE_MS, "late", { ref: false })]);
  if (ended !== "end") throw new Error(`${session}: ${ended}: ${reading.text.slice(-400)}`);
  const { text, arrivals } = reading;
  if (reading.status !== 200) throw new Error(`${session}: ${reading.status} ${text}`);
  const seen = [];
  const arrivedAt = clockOfBytes(arrivals);
  for (const match of text.matchAll(TOKEN)) {
    if (Number(match[1]) !== seen.length + 1)
      throw new Error(`${session}: token ${match[1]} came as number ${seen.length + 1}`);
    // A line is there when its line feed is; bodies are ASCII, so a position is a byte.
    seen.push({ at: arrivedAt(text.indexOf("\n", match.index)), sentAt: Number(match[2]) });
  }
  if (seen.length !== script.lines)
    throw new Error(`${session}: ${seen.length} of ${script.lines} lines: ${text.slice(0, 400)}`);
  return {
    firstMs: seen[0].at - asked,
    totalMs: seen.at(-1).at - asked,
    delaysMs: seen.map(({ at, sentAt }) => BEHIND_MS + at - sentAt),
  };
}

/** When the byte at a position arrived; positions are asked for in their order. */
function clockOfBytes(arrivals) {
  let chunk = 0;
  let end = arrivals[0]?.bytes ?? 0;
  return (position) => {
    while (position >= end) {
      chunk += 1;
      end += arrivals[chunk].bytes;
    }
    return arrivals[chunk].at;
  };
}

/** How far another process' clock is ahead, by the quickest of some exchanges, and the error that this may have. */
export async function clockOffset(url) {
  let best = { offsetMs: 0, errorMs: Infinity };
  for (let n = 0; n < 20; n++) {
    const before = clock();
    const theirs = Number(await (await fetch(`${url}/clock`)).text());
    const after = clock();
    const errorMs = (after - before) / 2;
    if (errorMs < best.errorMs) best = { offsetMs: theirs - (before + after) / 2, errorMs };
  }
  return best;
}

export function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return low + (high - low) * (place % 1);
}

export const median = (values) => quantile(values, 0.5);

/** The median of the rounds' figures, with the least and the most of them. */
export function over(rounds) {
  return { median: median(rounds), least: Math.min(...rounds), most: Math.max(...rounds), rounds };
}
