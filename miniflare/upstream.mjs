// A scripted agent sandbox: the server's side of PROTOCOL §4.1, with every fault of it on demand.
//
// Owns executions by id (an id never starts twice), their buffers, and counts of what was asked. A script stands in
// the request's `metadata.script` or is given with `plan` by session; the same script makes the same frames, and
// `transcript` says which lines a client must see for it. `openai_upstream.mjs` is served from the same address.

import { once } from "node:events";
import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { answerChatCompletion } from "./openai_upstream.mjs";

/**
 * A script:
 * - `lines`: text deltas, 10 unless told; `delayMs` between frames, by the clock, whoever listens
 * - `padBytes`: makes each delta so much longer
 * - `seed`: varies the text; `emojiSplit`: one emoji's halves in two frames; `prettyJson`: data over many lines
 * - `hugeNumber`: a `1e400` and `1.0` in a frame; `types`: extra frames `[type, rawData]` before the result
 * - `forgedAt`, `tooBigAt`, `noIdAt`, `notJsonAt`, `badTypeAt`: frame n is that
 * - `fails`: ends with `execution.failed` and this message; `endless`: never ends by itself
 * - `inputHash`: reported instead of the request's own
 * - `connections`: a fault for the first, second … request of an execution; `later`: the same for attempt 2 and on
 *
 * A fault, counts being of frames sent on that connection: `dropAfter` (the socket is destroyed), `closeAfter`
 * (a clean end), `stallAfter`, `cutMidFrame`, `cutMidUtf8`, `repeatFrames` (so many frames again from before the
 * cursor), `replayAll` (ignores the cursor), `commentsMs` (comments only, never a frame), `status` with
 * `retryAfter` and `startFirst`, `dropBeforeHead` (started, but the answer is lost), `contentType`.
 */
export const DEFAULT_SCRIPT = { lines: 10, delayMs: 0, seed: 1 };

/** What a runtime needs to ask `upstream`; the sandbox is the default. */
export function scriptedVars(upstream, more = {}) {
  return {
    AUTH_MODE: "none",
    UPSTREAM: "sandbox,demo,openai-chat",
    UPSTREAM_URL: upstream.url,
    UPSTREAM_MODEL: "scripted",
    ...more,
  };
}

const WORDS = [
  "calm",
  "river",
  "stone",
  "Äpfel",
  "żuraw",
  "雨",
  "signal",
  '\\"quoted\\"',
  "tab\\t",
  "naïve",
  "Ω",
  "drift",
];

/** The frames of a script: `{id, type, data}` with `data` as raw JSON, `raw` for a frame that is no such thing. */
export function framesOf(script, { executionId, sessionId, inputHash }) {
  const { lines, seed, fails, endless, padBytes = 0 } = { ...DEFAULT_SCRIPT, ...script };
  const frames = [];
  const push = (type, data, raw) =>
    frames.push({ id: `e${String(frames.length).padStart(6, "0")}`, type, data, raw });
  push(
    "execution.started",
    JSON.stringify({ executionId, sandboxId: "box-1", sessionId, inputHash: script.inputHash ?? inputHash }),
  );
  const words = [];
  for (let n = 1; n <= lines; n++) {
    const word = `${WORDS[(n * 7 + seed) % WORDS.length]}-${n} `;
    words.push(word);
    oneOf(script, n, push, () => push("message.part.updated", delta(word + "·".repeat(padBytes >> 1))));
  }
  if (script.emojiSplit) {
    for (const half of ["\\ud83d", "\\ude80"]) push("message.part.updated", delta(half));
    words.push("\\ud83d\\ude80");
  }
  if (script.hugeNumber) push("usage", '{ "z": 1e400, "a": 1.0, "big": 12345678901234567890 , "s":"a  b" }');
  for (const [type, data] of script.types ?? []) push(type, data);
  if (endless) return frames;
  if (fails !== undefined) push("execution.failed", JSON.stringify({ message: fails }));
  else {
    push("result", `{"finalText":"${words.join("")}"}`);
    push("execution.completed", "{}");
  }
  return frames;
}

const delta = (literal) => `{"part":{"id":"p1","type":"text"},"delta":"${literal}"}`;

function oneOf(script, n, push, ordinary) {
  if (script.forgedAt === n) push("session.run.completed", '{"sessionId":"forged"}');
  else if (script.badTypeAt === n) push("Bad Type!", "{}");
  else if (script.tooBigAt === n) push("message.part.updated", delta("x".repeat(1024 * 1024)));
  else if (script.noIdAt === n)
    push("message.part.updated", delta("nameless"), (frame) => `data: ${bodyOf(frame)}\n\n`);
  else if (script.notJsonAt === n) push("?", "", (frame) => `id: ${frame.id}\ndata: {"type":"broken\n\n`);
  else ordinary();
}

const bodyOf = (frame) => `{"type":${JSON.stringify(frame.type)},"data":${frame.data}}`;

/** A frame as bytes of the event stream. */
export function encode(frame, script = {}) {
  if (frame.raw) return Buffer.from(frame.raw(frame));
  if (!script.prettyJson) return Buffer.from(`id: ${frame.id}\ndata: ${bodyOf(frame)}\n\n`);
  // Spread by hand: a parse and a print again would change numbers and escapes.
  const spread = `{\n  "type" : ${JSON.stringify(frame.type)} ,\n\t"data" :\n    ${frame.data}\n}`;
  return Buffer.from(
    `id: ${frame.id}\n${spread
      .split("\n")
      .map((line) => `data: ${line}\n`)
      .join("")}\n`,
  );
}

/** Raw JSON without white space outside strings. */
export function compact(raw) {
  return raw.replace(/"(?:[^"\\]|\\.)*"|\s+/g, (token) => (token.startsWith('"') ? token : ""));
}

/** The lines that a client must see for `frames` from `firstSeq` on: what the adapter keeps to itself left out. */
export function linesFor(frames, firstSeq) {
  return frames
    .filter(({ type }) => !type.startsWith("execution."))
    .map(({ type, data }, n) => {
      const shown = type === "error" ? "upstream.error" : type;
      return `{"seq":${firstSeq + n},"type":"${shown}","data":${compact(data)}}`;
    });
}

/** The opening line of a turn. */
export function startedLine({ tenant = "dev", session, turnIndex = 0 }) {
  const executionId = `${tenant}:${session}:${turnIndex}`;
  const data = { sessionId: session, tenantId: tenant, turnIndex, executionId };
  return `{"seq":0,"type":"session.run.started","data":${JSON.stringify(data)}}`;
}

/** The oracle: every line of an undisturbed turn that succeeds. */
export function transcript(script, identity) {
  const { session } = identity;
  const frames = framesOf(script, { executionId: "", sessionId: session, inputHash: "" });
  const middle = linesFor(frames, 1);
  const last = `{"seq":${middle.length + 1},"type":"session.run.completed","data":${JSON.stringify({ sessionId: session })}}`;
  return [startedLine(identity), ...middle, last];
}

class Execution {
  constructor(id, body, script, inputHash) {
    this.id = id;
    this.script = script;
    this.body = body;
    this.inputHash = inputHash;
    this.startedAt = performance.now();
    this.frames = framesOf(script, { executionId: id, sessionId: body.sessionId, inputHash });
    this.cancelled = null;
  }

  /** Frames that exist by now: the agent works by the clock. */
  get available() {
    const { delayMs } = { ...DEFAULT_SCRIPT, ...this.script };
    const now = this.cancelled ?? performance.now();
    const due = delayMs > 0 ? Math.floor((now - this.startedAt) / delayMs) + 1 : Infinity;
    return Math.min(due, this.frames.length);
  }

  get over() {
    return this.cancelled !== null || (this.available === this.frames.length && !this.script.endless);
  }
}

export class ScriptedUpstream {
  #server;
  #plans = new Map();
  #executions = new Map();
  #counts = new Map();
  #sockets = new Set();
  /** How often each kind of fault came to pass, by its name in a script. */
  faults = new Map();

  /** Listens on a free port of the loopback interface. */
  static async start() {
    const upstream = new ScriptedUpstream();
    await upstream.#listen();
    return upstream;
  }

  async #listen() {
    this.#server = http.createServer((request, response) => {
      response.on("error", () => {});
      this.#route(request, response).catch((error) => response.destroy(error));
    });
    this.#server.keepAliveTimeout = 1_000;
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** The script of a session's turns, where `metadata` can't carry it. */
  plan(session, script) {
    this.#plans.set(session, script);
  }

  /** `{requests, starts, attaches, cancels, bodies}` of one execution id, or of one chat completion's message. */
  counts(id) {
    if (!this.#counts.has(id))
      this.#counts.set(id, { requests: 0, starts: 0, attaches: 0, cancels: 0, bodies: [], headers: [] });
    return this.#counts.get(id);
  }

  /** The execution ids that were ever asked for whose name begins so. */
  executionsOf(prefix) {
    return [...this.#counts.keys()].filter((id) => id === prefix || id.startsWith(`${prefix}:a`));
  }

  /** Notes that a fault of a script came to pass. */
  happened(fault) {
    this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1);
  }

  /** Forgets an execution: from now on it is 410. */
  forget(id) {
    this.#executions.set(id, null);
  }

  async close() {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #route(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const cancel = request.url.match(/^\/agents\/run\/([^/]+)\/cancel$/);
    if (request.method !== "POST") response.writeHead(405).end();
    else if (request.url === "/agents/run/stream") await this.#stream(request, response, JSON.parse(text));
    else if (cancel) this.#cancel(decodeURIComponent(cancel[1]), response);
    else if (request.url === "/chat/completions") {
      await answerChatCompletion(JSON.parse(text), request, response, this);
    } else response.writeHead(404).end();
  }

  #cancel(id, response) {
    const count = this.counts(id);
    count.cancels += 1;
    const fault = this.#plans.get(`cancel ${id}`)?.[count.cancels - 1];
    if (fault) return response.writeHead(fault.status).end();
    const execution = this.#executions.get(id);
    if (!execution) return response.writeHead(404).end();
    execution.cancelled ??= performance.now();
    response.writeHead(202).end();
  }

  async #stream(request, response, body) {
    const id = request.headers["x-execution-id"];
    const script = body.metadata?.script ?? this.#plans.get(body.sessionId) ?? {};
    const count = this.counts(id);
    const faults = /:a\d+$/.test(id) ? script.later : script.connections;
    const fault = faults?.[count.requests] ?? {};
    count.requests += 1;
    count.bodies.push(body);
    count.headers.push(request.headers);
    const refused = fault.status && !fault.startFirst;
    if (!refused && !this.#executions.has(id)) {
      count.starts += 1;
      this.#executions.set(id, new Execution(id, body, script, request.headers["x-input-hash"]));
    } else if (!refused) count.attaches += 1;
    if (fault.dropBeforeHead) {
      this.happened("dropBeforeHead");
      return response.destroy();
    }
    if (fault.status) {
      this.happened(fault.startFirst ? "startFirst" : `status ${fault.status}`);
      const headers = fault.retryAfter === undefined ? {} : { "retry-after": String(fault.retryAfter) };
      return response.writeHead(fault.status, { location: `${this.url}/elsewhere`, ...headers }).end();
    }
    const execution = this.#executions.get(id);
    if (execution === null) return response.writeHead(410).end();
    if (execution.inputHash !== request.headers["x-input-hash"]) return response.writeHead(409).end();
    response.writeHead(200, { "content-type": fault.contentType ?? "text/event-stream" });
    response.flushHeaders();
    await this.#serve(execution, fault, request.headers["last-event-id"], response);
  }

  async #serve(execution, fault, cursor, response) {
    const known = execution.frames.findIndex((frame) => frame.id === cursor);
    let next = known + 1;
    if (fault.replayAll) next = 0;
    if (fault.repeatFrames) next = Math.max(0, next - fault.repeatFrames);
    if (next <= known) this.happened(fault.replayAll ? "replayAll" : "repeatFrames");
    let sent = 0;
    // A socket that is destroyed drops what it has not written yet, so a drop waits for what it counts as sent.
    let written = Promise.resolve();
    const closed = new Promise((resolve) => response.once("close", resolve));
    while (!response.destroyed) {
      if (fault.commentsMs) {
        response.write(": still here\n\n");
        await pause(fault.commentsMs);
        continue;
      }
      const end = ["stallAfter", "closeAfter", "dropAfter"].find((name) => sent === fault[name]);
      if (end) this.happened(end);
      if (end === "stallAfter") return;
      if (end === "closeAfter") return response.end();
      if (end === "dropAfter") return written.then(() => response.destroy());
      if (next < execution.available) {
        const bytes = encode(execution.frames[next], execution.script);
        const cut = cutIn(bytes, sent, fault);
        if (cut !== null) {
          this.happened(fault.cutMidFrame === sent ? "cutMidFrame" : "cutMidUtf8");
          return response.write(bytes.subarray(0, cut), () => response.destroy());
        }
        const { promise, resolve } = Promise.withResolvers();
        written = promise;
        if (!response.write(bytes, resolve))
          await Promise.race([new Promise((drained) => response.once("drain", drained)), closed]);
        next += 1;
        sent += 1;
      } else if (execution.over) {
        if (execution.cancelled !== null)
          response.write(
            encode({ id: "cancelled", type: "execution.failed", data: '{"message":"cancelled"}' }),
          );
        return response.end();
      } else await pause(1);
    }
  }
}

/** Where this frame's bytes are cut, if the fault says so and the frame has such a place. */
function cutIn(bytes, sent, { cutMidFrame, cutMidUtf8 }) {
  if (cutMidFrame === sent) return bytes.length >> 1;
  if (cutMidUtf8 === undefined || sent < cutMidUtf8) return null;
  const wide = bytes.findIndex((byte) => byte >= 0xc0);
  return wide < 0 ? null : wide + 1;
}
