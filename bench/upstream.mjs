// The agent sandbox that every measured Worker asks: PROTOCOL 4.1, as plain and as fast as Node allows.
//
// Owns the pace. It is a process of its own, so that neither the client's reading nor another turn's delays a frame,
// and each paced frame says in its data when it was handed to the socket. An execution that is asked for twice answers
// 409 and so fails the turn, since a measured turn must not have been disturbed.
//
// The script stands in `metadata.bench`: `lines`, and `gapMs` between them by the clock; 0 is a burst. A `resumable`
// one goes on by the clock whoever listens, and is attached again behind the last event id. `kept` answers with the
// bytes that were put to `/kept` before, as they are.

import http from "node:http";

/** A burst is written in pieces of about this size, as a fast agent's output arrives. */
const CHUNK_BYTES = 64 * 1024;

/** When each execution began. */
const begun = new Map();
/** Requests for an answer, first ones and later ones. */
let asked = 0;
let kept = Buffer.alloc(0);
const bursts = new Map();

/** Milliseconds of the machine's monotonic clock, which all its processes share. */
const clock = () => Number(process.hrtime.bigint()) / 1e6;

const frame = (n, type, data) => `id: e${n}\ndata: {"type":"${type}","data":${data}}\n\n`;

const token = (n, sentAt) =>
  frame(
    n,
    "message.part.updated",
    `{"part":{"id":"p1","type":"text"},"delta":"token-${n} ","sentAt":${sentAt.toFixed(3)}}`,
  );

function started(id, { sessionId }) {
  const data = { executionId: id, sandboxId: "bench", sessionId: sessionId ?? "none" };
  return frame("0", "execution.started", JSON.stringify(data));
}

/** The pieces of a burst; made once, so that making them is not what is measured. */
function burst(lines) {
  if (!bursts.has(lines)) {
    const chunks = [""];
    for (let n = 1; n <= lines; n++) {
      if (chunks.at(-1).length >= CHUNK_BYTES) chunks.push("");
      chunks.push(chunks.pop() + token(n, 0));
    }
    bursts.set(
      lines,
      chunks.map((chunk) => Buffer.from(chunk)),
    );
  }
  return bursts.get(lines);
}

function end(lines, response) {
  response.end(frame(lines + 1, "execution.completed", "{}"));
}

/** The frames after `n`; each is due by the clock, whatever a timer's delay was before it. */
function paced({ lines, gapMs }, response, first, n) {
  const next = () => {
    if (response.destroyed) return;
    n += 1;
    response.write(token(n, clock()));
    if (n >= lines) return end(lines, response);
    later();
  };
  const later = () => setTimeout(next, Math.max(0, first + n * gapMs - performance.now()));
  if (n === 0) next();
  else later();
}

async function inOneBurst({ lines }, response) {
  for (const chunk of burst(lines)) {
    if (!response.write(chunk)) await new Promise((drained) => response.once("drain", drained));
  }
  end(lines, response);
}

const server = http.createServer(async (request, response) => {
  if (request.url === "/clock") return response.end(String(clock()));
  if (request.url === "/asked") return response.end(String(asked));
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (request.url === "/kept") {
    kept = bytes;
    return response.end();
  }
  asked += 1;
  await run(request, JSON.parse(bytes.toString()), response);
});

async function run(request, body, response) {
  const id = request.headers["x-execution-id"];
  const script = body.metadata.bench;
  if (begun.has(id) && !script.resumable) return response.writeHead(409).end();
  if (!begun.has(id)) begun.set(id, performance.now());
  response.writeHead(200, { "content-type": script.kept ? "application/x-ndjson" : "text/event-stream" });
  if (script.kept) return response.end(kept);
  const after = Number(request.headers["last-event-id"]?.slice("e".length) ?? -1);
  if (after < 0) response.write(started(id, body));
  if (after >= script.lines) end(script.lines, response);
  else if (script.gapMs > 0) paced(script, response, begun.get(id), Math.max(0, after));
  else await inOneBurst(script, response);
}

server.on("connection", (socket) => socket.setNoDelay(true));
process.on("disconnect", () => process.exit(0));
process.on("SIGINT", () => {});
server.listen(0, "127.0.0.1", () => process.send({ url: `http://127.0.0.1:${server.address().port}` }));
