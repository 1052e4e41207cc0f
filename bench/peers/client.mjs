// A client of the peers: their chat protocol over a WebSocket, measured as measure.mjs measures HTTP.
//
// Owns what such a client does and sees: it loads the messages over HTTP, sends all of them with each new one, and when
// it comes back asks for the stream and acknowledges it once. What it is sent is counted as the bytes of its messages,
// without the WebSocket's own few. It judges nothing but a measured turn, which must be whole and in order.

import { createRequire } from "node:module";
import { setTimeout as pause } from "node:timers/promises";
import { BEHIND_MS } from "../measure.mjs";
import { install } from "./build.mjs";

install();
// Not imported: imports come before the installation.
const WebSocket = createRequire(import.meta.url)("ws");

const TOKEN = /token-(\d+) @([\d.]+) /g;
const DELTA = '\\"text-delta\\"';
const TURN_PATIENCE_MS = 180_000;
/** A runtime that was killed is asked again by whoever calls; a socket that never opens is a fault. */
const OPEN_PATIENCE_MS = 30_000;

const path = (session) => `/agents/chat-agent/${session}`;
const tokens = (text) => [...text.matchAll(TOKEN)].map((match) => ({ n: Number(match[1]), sentAt: Number(match[2]) }));
const textOf = (message) => message.parts.map((part) => part.text ?? "").join("");

async function messagesOf(url, session) {
  const answer = await fetch(`${url}${path(session)}/get-messages`);
  const body = await answer.text();
  if (!answer.ok) throw new Error(`${session}: ${answer.status} ${body.slice(0, 400)}`);
  return { messages: JSON.parse(body), bytes: Buffer.byteLength(body) };
}

/**
 * One connection. `lines` gives each token's `{n, at, sentAt, bytes, through, replay}` and ends with the turn or with
 * the connection; `bytes` is all that was sent, `through` what had been sent with that line. A `replay` is what the
 * server had stored before this client came; it takes the place of what the client had.
 */
class Watch {
  #socket;
  #url;
  #session;
  #queue = [];
  #wake = null;
  #over = false;
  #acknowledged = new Set();
  /** The last line that came by itself; the whole transcript, which the server sends at times, may hold later ones. */
  #last = 0;
  bytes = 0;
  error = null;

  constructor(socket, url, session) {
    this.#socket = socket;
    this.#url = url;
    this.#session = session;
    socket.on("message", (data) => this.#take(data.toString("latin1"), performance.now()));
    socket.on("close", () => this.#end());
    socket.on("error", () => this.#end());
  }

  #take(text, at) {
    this.bytes += text.length;
    if (text.includes(DELTA)) this.#push(tokens(text), at, text.length, text.includes('"replay":true'));
    else this.#said(JSON.parse(text), at, text.length);
    this.#wake?.();
  }

  #push(found, at, bytes, replay) {
    for (const { n, sentAt } of found) {
      this.#queue.push({ n, at, sentAt, bytes, through: this.bytes, replay });
      this.#last = n;
    }
  }

  /** Any other message: an offer to resume, an end, the transcript. */
  #said(message, at, bytes) {
    if (message.type === "cf_agent_stream_resuming") this.#acknowledge(message.id);
    else if (message.type === "cf_agent_stream_resume_none") this.#load(at).catch((error) => this.#fail(error));
    else if (message.type === "cf_agent_chat_messages") this.#transcript(message.messages, at, bytes);
    else if (message.type === "cf_agent_use_chat_response") this.#response(message);
  }

  /** Once an id, however often it is offered: a second time would have the stream replayed twice. */
  #acknowledge(id) {
    if (this.#acknowledged.has(id)) return;
    this.#acknowledged.add(id);
    this.send({ type: "cf_agent_stream_resume_ack", id });
  }

  #response({ done, error, body, outcome }) {
    if (error) this.#fail(new Error(`${this.#session}: ${body}`));
    // An aborted stream is one that a recovery may go on with, as a turn of another id.
    else if (done && (outcome ?? "completed") === "completed") this.#end();
  }

  /** Nothing is going on: what was said stands in the messages. One that is still streaming is to be gone on with. */
  async #load(at) {
    if (this.#acknowledged.size > 0) return;
    const { messages, bytes } = await messagesOf(this.#url, this.#session);
    this.bytes += bytes;
    this.#transcript(messages, at, bytes, true);
    const last = messages.at(-1);
    const isOver = last?.role === "assistant" && !last.parts.some(({ state }) => state === "streaming");
    if (isOver) this.#end();
    this.#wake?.();
  }

  #transcript(messages, at, bytes, replay = false) {
    const last = messages.at(-1);
    if (last?.role !== "assistant") return;
    this.#push(
      tokens(textOf(last)).filter(({ n }) => n > this.#last),
      at,
      bytes,
      replay,
    );
  }

  #fail(error) {
    this.error ??= error;
    this.#end();
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

  send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  close() {
    this.#socket.terminate();
    this.#end();
  }
}

/** Connects, and says `first` before anything that the server says is heard, as a browser's events have it. */
async function connect(url, session, first = null) {
  const socket = new WebSocket(`${url.replace("http", "ws")}${path(session)}`, {
    perMessageDeflate: false,
    handshakeTimeout: OPEN_PATIENCE_MS,
  });
  const watch = new Watch(socket, url, session);
  const { promise, resolve, reject } = Promise.withResolvers();
  socket.once("open", () => {
    if (first) watch.send(first);
    resolve();
  });
  socket.once("error", reject);
  await promise;
  return watch;
}

/** A page that has loaded: connected, and with all messages there are. */
async function loaded(url, session) {
  const from = performance.now();
  const { messages } = await messagesOf(url, session);
  const watch = await connect(url, session);
  return { watch, messages, connectMs: performance.now() - from };
}

function submit({ watch, messages }, script) {
  const message = { id: crypto.randomUUID(), role: "user", parts: [{ type: "text", text: "go" }] };
  const body = { messages: [...messages, message], trigger: "submit-message", bench: script };
  watch.send({
    id: crypto.randomUUID(),
    type: "cf_agent_use_chat_request",
    init: { method: "POST", body: JSON.stringify(body) },
  });
}

/**
 * Runs a turn of `script` on a page that has loaded before; times in ms, from the sending of the message. `connectMs`
 * is what loading took: it is in no other figure.
 */
export async function measureTurn(url, script, session) {
  const page = await loaded(url, session);
  const asked = performance.now();
  submit(page, script);
  const seen = await Promise.race([whole(page.watch, script, session), pause(TURN_PATIENCE_MS, null, { ref: false })]);
  page.watch.close();
  if (seen === null) throw new Error(`${session}: not over within ${TURN_PATIENCE_MS} ms`);
  return {
    firstMs: seen[0].at - asked,
    totalMs: seen.at(-1).at - asked,
    delaysMs: seen.map(({ at, sentAt }) => BEHIND_MS + at - sentAt),
    connectMs: page.connectMs,
  };
}

async function whole(watch, script, session) {
  const seen = [];
  for await (const line of watch.lines) {
    seen.push(line);
    if (line.n !== seen.length) throw new Error(`${session}: token ${line.n} came as number ${seen.length}`);
  }
  if (watch.error) throw watch.error;
  if (seen.length !== script.lines) throw new Error(`${session}: ${seen.length} of ${script.lines} lines`);
  return seen;
}

/** Begins a turn; the client may be dropped with `close()`. */
export async function open(url, script, session) {
  const page = await loaded(url, session);
  submit(page, script);
  return page.watch;
}

/** Comes back to a session, or joins it: their protocol has no cursor, so what is going on is sent from its start. */
export function resume(url, session) {
  return connect(url, session, { type: "cf_agent_stream_resume_request", probeId: crypto.randomUUID() });
}
