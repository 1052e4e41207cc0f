// What a caller of Steadfast does: submit, follow, read, steer, and come back after a cut.
//
// Owns HTTP as a client sees it, byte by byte, on one connection per request so that paths, hosts, chunking and
// cuts are exactly what a test says. It judges nothing; `expect.mjs` does.

import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import { PATIENCE_MS, until } from "./harness.mjs";

export const NDJSON = "application/x-ndjson";
export const SSE = "text/event-stream";

const TERMINAL = /"type":"session\.run\.(completed|failed|cancelled)"/;

/** Whether a line is a turn's last. */
export const isTerminal = (line) => TERMINAL.test(line) && JSON.parse(line).type.startsWith("session.run.");

/** A response whose body is collected as it comes; a cut connection is a result, not an error. */
export class Reading {
  #response;
  #chunks = [];

  constructor(response) {
    this.#response = response;
    this.status = response.statusCode;
    this.headers = response.headers;
    this.startedAt = performance.now();
    /** `{at, bytes}` of each chunk, `at` in ms of `performance.now()`. */
    this.arrivals = [];
    /** `null` while the connection lives, then `"end"` or `"cut"`. */
    this.ended = null;
    response.on("data", (chunk) => {
      this.#chunks.push(chunk);
      this.arrivals.push({ at: performance.now(), bytes: chunk.length });
    });
    this.done = new Promise((resolve) => {
      const finish = (how) => {
        this.ended ??= how;
        resolve(this.ended);
      };
      response.on("end", () => finish(response.complete ? "end" : "cut"));
      response.on("error", () => finish("cut"));
      response.on("close", () => finish("cut"));
    });
  }

  get bytes() {
    return Buffer.concat(this.#chunks);
  }

  get text() {
    return this.bytes.toString("utf8");
  }

  /** Whole lines so far, without heartbeats; in SSE the payloads of the events. */
  get lines() {
    return linesOf(this.bytes, this.headers["content-type"]);
  }

  /** The body to its end; a cut is a failure here. */
  async whole() {
    const how = await within(this.done, `the end of the body, so far: ${this.text.slice(-400)}`);
    if (how !== "end") throw new Error(`the connection was cut after ${this.bytes.length} bytes`);
    return this.text;
  }

  /** Waits for line `count` of this reading (1 is the first) and gives the lines so far. */
  async atLeast(count) {
    await until(`${count} lines, have ${this.lines.length}`, () => this.lines.length >= count || this.ended);
    if (this.lines.length < count)
      throw new Error(`ended (${this.ended}) after ${this.lines.length} of ${count} lines: ${this.text}`);
    return this.lines;
  }

  json() {
    return JSON.parse(this.text);
  }

  /** Leaves without a word. */
  leave() {
    this.#response.destroy();
  }

  /** Stops taking bytes: the slow reader. */
  stall() {
    this.#response.pause();
  }

  resume() {
    this.#response.resume();
  }
}

/** The lines in a body of either framing; an unfinished line at the end and heartbeats are left out. */
export function linesOf(bytes, contentType) {
  const text = bytes.toString("utf8");
  if (contentType?.startsWith(SSE)) {
    return text
      .split("\n\n")
      .slice(0, -1)
      .filter((event) => !event.startsWith(":"))
      .map((event) =>
        event
          .split("\n")
          .find((field) => field.startsWith("data: "))
          ?.slice("data: ".length),
      );
  }
  return text
    .split("\n")
    .slice(0, -1)
    .filter((line) => line !== '{"type":"heartbeat"}');
}

async function within(promise, what) {
  const { promise: late, reject } = Promise.withResolvers();
  const timer = setTimeout(() => reject(new Error(`not within ${PATIENCE_MS} ms: ${what}`)), PATIENCE_MS);
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** One request on one connection. `body` is a string, a Buffer, or an array of chunks sent without a length. */
export function request(url, { method = "GET", path, headers = {}, body } = {}) {
  const { hostname, port } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers();
  const outgoing = http.request({ hostname, port, method, path, headers, agent: false }, (response) =>
    resolve(new Reading(response)),
  );
  outgoing.on("error", reject);
  outgoing.setNoDelay(true);
  if (Array.isArray(body)) for (const chunk of body) outgoing.write(chunk);
  else if (body !== undefined) {
    outgoing.setHeader("content-length", Buffer.byteLength(body));
    outgoing.write(body);
  }
  outgoing.end();
  return within(promise, `the head of ${method} ${path}`);
}

/** A caller with its credentials, on one runtime. The runtime's address is read at each call: it may change. */
export class Client {
  #runtime;
  #headers;

  constructor(runtime, { token, headers = {} } = {}) {
    this.#runtime = runtime;
    this.#headers = { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers };
  }

  /** Any request; the answer may still be streaming. */
  send(method, path, { headers = {}, ...rest } = {}) {
    return request(this.#runtime.url, { method, path, headers: { ...this.#headers, ...headers }, ...rest });
  }

  /** A request whose whole answer is wanted. */
  async call(method, path, options) {
    const reading = await this.send(method, path, options);
    await reading.whole();
    return reading;
  }

  get(path, options) {
    return this.call("GET", path, options);
  }

  /** A call with a JSON body. */
  post(path, value, { headers = {} } = {}) {
    const body = value === undefined ? undefined : JSON.stringify(value);
    const type = value === undefined ? {} : { "content-type": "application/json" };
    return this.call("POST", path, { headers: { ...type, ...headers }, body });
  }

  /** Submits a turn; resolves at the head of the answer. */
  submit(session, turn, { accept = NDJSON, headers = {} } = {}) {
    return this.send("POST", `/v1/sessions/${session}/turns`, {
      headers: { "content-type": "application/json", accept, ...headers },
      body: JSON.stringify(turn),
    });
  }

  /** Submits a turn and reads it to its end. */
  async turn(session, turn, options) {
    const reading = await this.submit(session, turn, options);
    await reading.whole();
    return reading;
  }

  /** Follows a turn; resolves at the head of the answer. */
  follow(session, turnIndex, { after, live, accept = NDJSON, headers = {} } = {}) {
    const query = new URLSearchParams();
    if (after !== undefined) query.set("after", after);
    if (live !== undefined) query.set("live", live);
    const suffix = query.size > 0 ? `?${query}` : "";
    return this.send("GET", `/v1/sessions/${session}/turns/${turnIndex}/stream${suffix}`, {
      headers: { accept, ...headers },
    });
  }

  /** Follows a turn to its end. */
  async log(session, turnIndex, options) {
    const reading = await this.follow(session, turnIndex, options);
    await reading.whole();
    return reading;
  }

  /** The turn's row, polled until it is over. */
  finished(session, turnIndex) {
    return until(`${session}/${turnIndex} is over`, async () => {
      const reading = await this.get(`/v1/sessions/${session}/turns/${turnIndex}`);
      if (reading.status !== 200) return null;
      const run = reading.json();
      return ["completed", "failed", "cancelled"].includes(run.status) ? run : null;
    });
  }
}

/**
 * The client of the README: follows a turn over any number of cuts with `fetch`, asking each time for what comes
 * after the last whole line it has.
 */
export class PersistentClient {
  #runtime;

  constructor(runtime, session, turnIndex) {
    this.#runtime = runtime;
    this.session = session;
    this.turnIndex = turnIndex;
    /** Whole lines in order, each exactly once. */
    this.lines = [];
    /** When each line came, in ms of `performance.now()`. */
    this.times = [];
    /** `{after, bytes}` of every connection: what was asked for and every byte that was read. */
    this.connections = [];
  }

  /** Submits, then follows until the terminal line. */
  async run(turn) {
    const path = `/v1/sessions/${this.session}/turns`;
    const body = JSON.stringify({ turnIndex: this.turnIndex, ...turn });
    const end = performance.now() + PATIENCE_MS;
    while (!this.#over()) {
      if (performance.now() > end) throw new Error(`no terminal line; the last is ${this.lines.at(-1)}`);
      const after = this.lines.length - 1;
      const asked =
        after < 0
          ? () =>
              fetch(this.#runtime.url + path, {
                method: "POST",
                headers: { "content-type": "application/json" },
                body,
              })
          : () => fetch(`${this.#runtime.url}${path}/${this.turnIndex}/stream?after=${after}`);
      const answer = await asked().catch(() => null);
      if (answer === null || answer.status === 503) await pause(20);
      else await this.#read(answer, after);
    }
    return this.lines;
  }

  #over() {
    return this.lines.length > 0 && isTerminal(this.lines.at(-1));
  }

  async #read(answer, after) {
    if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
    const connection = { after, bytes: Buffer.alloc(0) };
    this.connections.push(connection);
    let taken = 0;
    try {
      for await (const chunk of answer.body) {
        connection.bytes = Buffer.concat([connection.bytes, chunk]);
        const whole = linesOf(connection.bytes, NDJSON);
        for (const line of whole.slice(taken)) {
          this.lines.push(line);
          this.times.push(performance.now());
        }
        taken = whole.length;
      }
    } catch {
      // The connection was cut: the next one asks for the rest.
    }
  }
}
