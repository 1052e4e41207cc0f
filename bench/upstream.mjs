// What every measured Worker asks: an agent sandbox of PROTOCOL §4.1, as plain and as fast as Node allows, and the same
// output as an OpenAI-compatible model's, for the peer that speaks to nothing else.
//
// Owns the pace. It is a process of its own, so that neither the client's reading nor another turn's delays a frame,
// and each paced frame says in its data when it was handed to the socket. An execution that is asked for twice answers
// 409 and so fails the turn, since a measured turn must not have been disturbed.
//
// The script stands in `metadata.bench`, or in a model's request in the header `x-bench`: `lines`, and `gapMs` between
// them by the clock; 0 is a burst. Who asks again shows what it has already, as a model is shown its own partial answer;
// the rest alone is sent then, as by a model that repeats and skips nothing. An execution whose script is `resumable`
// goes on by the clock whoever listens, and is attached again behind the last event id. A script `kept` answers with the
// bytes that were put to `/kept` before, as they are.

import http from "node:http";

/** A burst is written in pieces of about this size, as a fast agent's output arrives. */
const CHUNK_BYTES = 64 * 1024;

/** When each execution began. */
const begun = new Map();
let kept = Buffer.alloc(0);
/** Requests for output, those that attach again included. */
let asked = 0;
const bursts = new Map();
/** How often an answer was begun: more than once a turn is an answer that is paid for again. */
let prompts = 0;

/** Milliseconds of the machine's monotonic clock, which all its processes share. */
const clock = () => Number(process.hrtime.bigint()) / 1e6;

const frame = (n, type, data) => `id: e${n}\ndata: {"type":"${type}","data":${data}}\n\n`;

/** How the output is framed: an agent's frames. */
const AGENT = {
  key: "agent",
  token: (n, sentAt) =>
    frame(
      n,
      "message.part.updated",
      `{"part":{"id":"p1","type":"text"},"delta":"token-${n} ","sentAt":${sentAt.toFixed(3)}}`,
    ),
  end: (lines) => frame(lines + 1, "execution.completed", "{}"),
};

const choice = (delta, reason = null) =>
  `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"bench",` +
  `"choices":[{"index":0,"delta":${delta},"finish_reason":${reason}}]}\n\n`;

/** … and a model's chunks, whose text is all that reaches a client; so the time stands in it. */
const MODEL = {
  key: "model",
  token: (n, sentAt) => choice(`{"content":"token-${n} @${sentAt.toFixed(3)} "}`),
  end: () => `${choice("{}", '"stop"')}data: [DONE]\n\n`,
};

function started(id, { sessionId }) {
  const data = { executionId: id, sandboxId: "bench", sessionId: sessionId ?? "none" };
  return frame("0", "execution.started", JSON.stringify(data));
}

/** The number of the token behind those that an answer holds so far. */
const behind = (partial) => 1 + Math.max(0, ...[...partial.matchAll(/token-(\d+) /g)].map((match) => Number(match[1])));

/** The pieces of a burst; made once, so that making them is not what is measured. */
function burst(framing, from, lines) {
  const key = `${framing.key} ${from} ${lines}`;
  if (!bursts.has(key)) {
    const chunks = [""];
    for (let n = from; n <= lines; n++) {
      if (chunks.at(-1).length >= CHUNK_BYTES) chunks.push("");
      chunks.push(chunks.pop() + framing.token(n, 0));
    }
    bursts.set(
      key,
      chunks.map((chunk) => Buffer.from(chunk)),
    );
  }
  return bursts.get(key);
}

/** The frames from one on; each is due by the clock, whatever a timer's delay was before it. */
function paced(framing, from, { lines, gapMs }, response, dueAt = performance.now()) {
  const first = dueAt;
  let n = from;
  const next = () => {
    if (response.destroyed) return;
    if (n <= lines) response.write(framing.token(n, clock()));
    if (n >= lines) return response.end(framing.end(lines));
    n += 1;
    setTimeout(next, Math.max(0, first + (n - from) * gapMs - performance.now()));
  };
  const waitMs = first - performance.now();
  if (waitMs > 0) setTimeout(next, waitMs);
  else next();
}

async function inOneBurst(framing, from, { lines }, response) {
  for (const chunk of burst(framing, from, lines)) {
    if (!response.write(chunk)) await new Promise((drained) => response.once("drain", drained));
  }
  response.end(framing.end(lines));
}

async function answer(framing, from, script, response) {
  prompts += 1;
  if (script.gapMs > 0) paced(framing, from, script, response);
  else await inOneBurst(framing, from, script, response);
}

const headed = (response) => response.writeHead(200, { "content-type": "text/event-stream" });

function agent(request, body, response) {
  const id = request.headers["x-execution-id"];
  const script = body.metadata.bench;
  if (begun.has(id)) return script.resumable ? again(request, script, response) : response.writeHead(409).end();
  begun.set(id, performance.now());
  headed(response);
  if (script.kept) return response.end(kept);
  response.write(started(id, body));
  return answer(AGENT, behind(body.partial ?? ""), script, response);
}

/** An execution that went on by itself, from behind the last frame that the asker has. */
function again(request, script, response) {
  const from = 1 + Number(request.headers["last-event-id"]?.slice("e".length) ?? 0);
  const dueAt = begun.get(request.headers["x-execution-id"]) + (from - 1) * script.gapMs;
  headed(response);
  paced(AGENT, from, script, response, dueAt);
}

function model(request, { messages }, response) {
  const { role, content } = messages.at(-1);
  const partial = role === "assistant" ? JSON.stringify(content) : "";
  headed(response).write(choice('{"role":"assistant","content":""}'));
  return answer(MODEL, behind(partial), JSON.parse(request.headers["x-bench"]), response);
}

const server = http.createServer(async (request, response) => {
  if (request.url === "/clock") return response.end(String(clock()));
  if (request.url === "/prompts") return response.end(String(prompts));
  if (request.url === "/asked") return response.end(String(asked));
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (request.url === "/kept") {
    kept = bytes;
    return response.end();
  }
  asked += 1;
  const body = JSON.parse(bytes.toString());
  if (request.url === "/v1/chat/completions") return model(request, body, response);
  return agent(request, body, response);
});

server.on("connection", (socket) => socket.setNoDelay(true));
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
server.listen(0, "127.0.0.1", () => process.send({ url: `http://127.0.0.1:${server.address().port}` }));
