// What Steadfast is compared with: an object that stores each event in D1 by itself before it emits it.
//
// Two awaited statements an event, as the systems do that this project comes from: an INSERT that computes the next
// seq and ignores a known event id, and a SELECT that reads the row back. It recovers nothing; it is a measure only.

import { DurableObject } from "cloudflare:workers";

const TABLE = `CREATE TABLE IF NOT EXISTS stream_events (
  run_id TEXT NOT NULL, seq INTEGER NOT NULL, event_id TEXT NOT NULL, payload TEXT NOT NULL, appended_at TEXT NOT NULL,
  PRIMARY KEY (run_id, seq), UNIQUE (run_id, event_id))`;
const APPEND = `INSERT OR IGNORE INTO stream_events (run_id, seq, event_id, payload, appended_at)
  SELECT ?1, coalesce(max(seq) + 1, 0), ?2, ?3, ?4 FROM stream_events WHERE run_id = ?1`;
const READ_BACK = "SELECT seq, payload FROM stream_events WHERE run_id = ? AND event_id = ?";

let tableIsThere = false;

/** The frames of an event stream as `{id, type, data}`. */
async function* frames(body) {
  let text = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const frame of whole) {
      const [id, data] = frame.split("\n");
      yield { id: id.slice("id: ".length), ...JSON.parse(data.slice("data: ".length)) };
    }
  }
}

export class SessionObject extends DurableObject {
  async fetch(request) {
    if (!tableIsThere) await this.env.DB.prepare(TABLE).run();
    tableIsThere = true;
    const runId = crypto.randomUUID();
    const answer = await fetch(`${this.env.UPSTREAM_URL}/agents/run/stream`, {
      method: "POST",
      headers: { "x-execution-id": runId },
      body: await request.text(),
    });
    const lines = ReadableStream.from(this.#lines(runId, answer.body));
    return new Response(lines, { headers: { "content-type": "application/x-ndjson" } });
  }

  async *#lines(runId, body) {
    const append = this.env.DB.prepare(APPEND);
    const readBack = this.env.DB.prepare(READ_BACK);
    const encoder = new TextEncoder();
    for await (const { id, type, data } of frames(body)) {
      if (type.startsWith("execution.")) continue;
      const now = new Date().toISOString();
      await append.bind(runId, id, JSON.stringify({ type, data }), now).run();
      const { seq, payload } = await readBack.bind(runId, id).first();
      yield encoder.encode(`{"seq":${seq},${payload.slice(1)}\n`);
    }
  }
}

export default {
  async fetch(request, env) {
    const session = new URL(request.url).pathname.split("/")[3];
    return env.SESSIONS.getByName(session).fetch(request);
  },
};
