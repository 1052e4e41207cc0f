// Clients that keep every byte they were given, with its time.
//
// Owns one request each and its record; it judges nothing and repeats nothing. A record lives in a turn's `reads`, is
// filled while its bytes come, and is plain data once the request is over.

import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";

const now = () => performance.now();

/** A record of a request that is under way. */
function record(label, more) {
  return {
    label,
    after: -1,
    framing: "ndjson",
    /** Whether a 200 to it is a turn's lines; otherwise it is a call with an answer. */
    stream: true,
    /** Whether it asks for the log's present end only. */
    snapshot: false,
    allowed: [],
    sentAt: now(),
    headAt: null,
    endedAt: null,
    status: null,
    code: null,
    executionId: null,
    mode: null,
    chunks: [],
    text: "",
    /** `null` while it lives, then `"end"`, `"cut"`, `"left"` or `"refused"` (no head). */
    ended: null,
    ...more,
  };
}

/**
 * Sends one request; resolves when it is over, whichever way. `behave` says how the client reads: `leaveAfter` bytes
 * (in the middle of a line if they end there), `slow` (a pause before each piece), `onHead`, `onText`.
 */
export function read(url, { label, method = "GET", path, headers = {}, body, behave = {}, ...more }) {
  const kept = record(label, more);
  const { promise, resolve } = Promise.withResolvers();
  const finish = (how) => {
    if (kept.ended !== null) return;
    kept.ended = how;
    kept.endedAt = now();
    const bytes = Buffer.concat(pieces);
    kept.text = bytes.toString("utf8");
    // A character that was cut in two is none that was read.
    if (kept.text.endsWith("\ufffd")) kept.text = kept.text.replace(/\ufffd+$/, "");
    kept.code = kept.status === 200 ? null : codeOf(kept.text);
    resolve(kept);
  };
  const pieces = [];
  let taken = 0;
  const { hostname, port } = new URL(url);
  const outgoing = http.request({ hostname, port, method, path, headers, agent: false }, (response) => {
    kept.status = response.statusCode;
    kept.headAt = now();
    kept.executionId = response.headers["x-execution-id"] ?? null;
    kept.mode = response.headers["x-turn-mode"] ?? null;
    behave.onHead?.(kept);
    response.on("data", (chunk) => {
      if (kept.ended !== null) return;
      const most = (behave.leaveAfter ?? Infinity) - taken;
      const bytes = chunk.subarray(0, Math.min(chunk.length, most));
      taken += bytes.length;
      pieces.push(bytes);
      kept.chunks.push({ at: now(), end: taken });
      behave.onText?.(kept, bytes);
      if (taken >= (behave.leaveAfter ?? Infinity)) {
        finish("left");
        outgoing.destroy();
      } else if (behave.slow) {
        response.pause();
        pause(behave.slow).then(() => response.resume());
      }
    });
    response.on("end", () => finish(response.complete ? "end" : "cut"));
    response.on("error", () => finish("cut"));
    response.on("close", () => finish("cut"));
  });
  outgoing.on("error", () => finish(kept.status === null ? "refused" : "cut"));
  outgoing.setNoDelay(true);
  if (body !== undefined) outgoing.setHeader("content-length", Buffer.byteLength(body));
  outgoing.end(body);
  kept.abandon = () => {
    finish("left");
    outgoing.destroy();
  };
  return { record: kept, over: promise };
}

function codeOf(text) {
  if (text === "") return null;
  try {
    return JSON.parse(text).code ?? "no code";
  } catch {
    return `no problem: ${text.slice(0, 120)}`;
  }
}

/** Whole lines of an NDJSON client that reads over any number of connections, heartbeats left out. */
export class Lines {
  lines = [];
  #rest = Buffer.alloc(0);

  /** A new connection begins at a new line. */
  begin() {
    this.#rest = Buffer.alloc(0);
  }

  take(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (let end = this.#rest.indexOf(10); end >= 0; end = this.#rest.indexOf(10)) {
      const line = this.#rest.subarray(0, end).toString("utf8");
      this.#rest = this.#rest.subarray(end + 1);
      if (line !== '{"type":"heartbeat"}') this.lines.push(line);
    }
  }

  get over() {
    return /^\{"seq":\d+,"type":"session\.run\.(completed|failed|cancelled)"/.test(this.lines.at(-1) ?? "");
  }
}
