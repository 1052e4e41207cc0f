// One measured turn over plain HTTP: ours, the pass-through and the insert an event.
//
// Owns what a client sees of a turn: when each line was there. It reads every framing alike, by the tokens in the
// body, and refuses a turn that is not whole and in order: a broken run gives no figures. `peers/client.mjs` has the
// same functions for the peers' protocol.

import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { NDJSON, request } from "../miniflare/client.mjs";

const TOKEN = /"delta":"token-(\d+) ","sentAt":([\d.]+)\}/g;

/** The longest turn here is a burst stored event by event: some ten seconds, on a busy machine several times that. */
const TURN_PATIENCE_MS = 180_000;

/**
 * Milliseconds of the machine's monotonic clock, which all its processes share. Two processes' `performance.timeOrigin`
 * were seen to differ by several: each is the wall clock as it stood at that process' start.
 */
export const clock = () => Number(process.hrtime.bigint()) / 1e6;
/** What `performance.now()` is behind that clock; both run alike. */
export const BEHIND_MS = clock() - performance.now();

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

/** A line of ours says its place in the log first. */
const SEQ = /^\{"seq":(\d+)/;

/**
 * A body that is read as it comes. `lines` gives each token's `{n, seq, at, sentAt, bytes, through}`, and ends with the
 * body or with its cut; `through` is how many bytes the body had up to that line's end, `bytes` all that was read.
 */
class Watch {
  #outgoing;
  #queue = [];
  #wake = null;
  #over = false;
  #rest = "";
  #through = 0;
  bytes = 0;

  constructor(outgoing, response) {
    this.#outgoing = outgoing;
    response.setEncoding("latin1");
    response.on("data", (text) => this.#take(text, performance.now()));
    for (const event of ["end", "error", "close"]) response.on(event, () => this.#end());
  }

  #take(text, at) {
    this.bytes += text.length;
    const whole = (this.#rest + text).split("\n");
    this.#rest = whole.pop();
    for (const line of whole) {
      this.#through += line.length + 1;
      const through = this.#through;
      const seq = Number(line.match(SEQ)?.[1] ?? -1);
      for (const [, n, sentAt] of line.matchAll(TOKEN))
        this.#queue.push({ n: Number(n), at, sentAt: Number(sentAt), bytes: line.length + 1, through, seq });
    }
    this.#wake?.();
  }

  #end() {
    this.#over = true;
    this.#wake?.();
  }

  get lines() {
    return this.#each();
  }

  async *#each() {
    for (;;) {
      if (this.#queue.length > 0) yield this.#queue.shift();
      else if (this.#over) return;
      else {
        await new Promise((wake) => {
          this.#wake = wake;
        });
      }
    }
  }

  close() {
    this.#outgoing.destroy();
    this.#end();
  }
}

function watch(url, { method, path, body }) {
  const { hostname, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers();
  const headers = { accept: NDJSON, ...(body ? { "content-type": "application/json" } : {}) };
  const outgoing = http.request({ hostname, port, method, path, headers, agent: false }, (response) => {
    if (response.statusCode === 200) return resolve(new Watch(outgoing, response));
    outgoing.destroy();
    reject(new Error(`${method} ${path}: ${response.statusCode}`));
  });
  outgoing.on("error", reject);
  outgoing.end(body);
  return promise;
}

/** Begins a turn; the client may be dropped with `close()`. */
export function open(url, script, session) {
  const body = JSON.stringify({ message: "go", metadata: { bench: script } });
  return watch(url, { method: "POST", path: `/v1/sessions/${session}/turns`, body });
}

/** Comes back to a turn, or joins it: everything after line `after` of its log, and what is still to come. */
export function resume(url, session, { after = -1, turn = 0 } = {}) {
  return watch(url, { method: "GET", path: `/v1/sessions/${session}/turns/${turn}/stream?after=${after}` });
}
