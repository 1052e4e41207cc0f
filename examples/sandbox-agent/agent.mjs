// An agent server as the upstream `sandbox` asks for it, PROTOCOL §4.1, whole: put your agent in place of `answer`.
//
// Owns executions by id with their frames from the first one on, in memory: what must outlive this process belongs on
// a disk. Invariant: an id never starts twice, and whoever comes back is given exactly what follows the frame they name.

import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";
const { PORT = 9000, UPSTREAM_KEY: KEY, KEEP_MS = 3_600_000 } = process.env;
const executions = new Map(); // by id; null for one whose frames are forgotten

/** The agent: frames as type and data. `ask` is `{message, history, model, sessionId, metadata}`. */
async function* answer({ message }, signal) {
  const text = typeof message === "string" ? message : message.map((part) => part.text ?? "").join(" ");
  for (const word of `You said: ${text}`.match(/\S+\s*/g)) {
    await pause(50, null, { signal });
    yield ["message.part.updated", { part: { id: "text-0", type: "text" }, delta: word }];
  }
  yield ["result", { finalText: `You said: ${text}` }];
}

async function run(id, execution, ask) {
  const { hash, frames, readers, stop } = execution;
  const tell = (bytes) => readers.forEach((reader) => reader.write(bytes));
  const frame = (type, data) =>
    tell(frames[frames.push(`id: ${frames.length}\ndata: ${JSON.stringify({ type, data })}\n\n`) - 1]);
  const life = setInterval(tell, 15_000, ": thinking\n\n"); // any byte is a sign of life
  try {
    frame("execution.started", { executionId: id, sandboxId: "agent", sessionId: ask.sessionId, inputHash: hash });
    for await (const [type, data] of answer(ask, stop.signal)) frame(type, data);
    frame("execution.completed", {});
  } catch (error) {
    frame("execution.failed", { message: stop.signal.reason ?? error.message });
  }
  clearInterval(life);
  execution.over = true;
  readers.forEach((reader) => reader.end());
  setTimeout(() => executions.set(id, null), KEEP_MS).unref();
}

async function serve(request, response) {
  const ask = JSON.parse(Buffer.concat(await request.toArray()).toString() || "{}");
  const { "x-execution-id": named, "x-input-hash": hash, "last-event-id": after, authorization } = request.headers;
  const refuse = (status) => response.writeHead(status).end();
  if (KEY && authorization !== `Bearer ${KEY}`) return refuse(401);
  const cancelled = request.url.match(/^\/agents\/run\/([^/]+)\/cancel$/)?.[1];
  if (request.method !== "POST" || !(cancelled || (named && request.url === "/agents/run/stream"))) return refuse(400);
  console.log(cancelled ? `cancel ${cancelled}` : `ask ${named} after ${after ?? "nothing"}`);
  let execution = executions.get(cancelled ?? named);
  if (execution === null) return refuse(410);
  if (!execution && (cancelled || after !== undefined)) return refuse(404); // frames that nobody here has made
  if (cancelled) return execution.stop.abort("cancelled"), refuse(202);
  if (!execution) {
    console.log(`start ${named}`);
    execution = { hash, frames: [], readers: new Set(), stop: new AbortController(), over: false };
    executions.set(named, execution);
    run(named, execution, ask);
  }
  if (execution.hash !== hash) return refuse(409);
  response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
  response.write(execution.frames.slice(Number(after ?? -1) + 1).join(""));
  if (execution.over) return response.end();
  execution.readers.add(response.on("close", () => execution.readers.delete(response)));
}

const server = http.createServer((request, response) => serve(request, response).catch(() => response.destroy()));
server.listen(PORT, "127.0.0.1", () => console.log(`listening http://127.0.0.1:${server.address().port}`));
