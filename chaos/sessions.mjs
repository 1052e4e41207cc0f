// The clients of one session: they submit, follow, watch, steer and come back, and keep what they were told.
//
// Owns performing a plan against a setting. It judges nothing: what it was answered goes into the turn's record, and
// the oracle says whether that may be.

import { setTimeout as pause } from "node:timers/promises";
import { until } from "../miniflare/harness.mjs";
import { Lines, read } from "./readers.mjs";

const JSON_TYPE = { "content-type": "application/json" };
/** Between two tries of a client that was refused or cut. */
const AGAIN_MS = 40;
const BURST = 20;

/** One turn under way: its plan, its record, and what its main client has. */
class Turn {
  constructor(setting, plan, turnIndex, random) {
    this.setting = setting;
    this.plan = plan;
    this.random = random;
    this.main = new Lines();
    this.key = `${plan.session}-${turnIndex}`;
    this.base = `/v1/sessions/${plan.session}/turns`;
    this.path = `${this.base}/${turnIndex}`;
    const runId = `dev:${plan.session}:${turnIndex}`;
    const { session, message, expected } = plan;
    this.record = { runId, session, turnIndex, message, expected, log: null, reads: [] };
    Object.assign(this.record, { submits: [], statuses: [], events: [], wipes: setting.wipes, unfinished: null });
    this.over = false;
  }

  /** One request on any of the setting's processes, kept in the turn's record. */
  async ask(label, options) {
    const runtime = this.setting.choose(this.random);
    const { record, over } = read(runtime.url, { label, process: runtime.process, ...options });
    record.process = runtime.process;
    this.record.reads.push(record);
    this.setting.reading.add({ turn: this, record });
    await over;
    return record;
  }

  body(message = this.plan.message) {
    const { kind, script, research, byKey } = this.plan;
    const index = byKey ? {} : { turnIndex: this.record.turnIndex };
    const upstream = { sandbox: "sandbox", chat: "openai-chat", task: "task:research" }[kind];
    const named = this.setting.plain ? {} : { upstream };
    const metadata = script ? { script } : research ? { research } : {};
    return JSON.stringify({ message, ...index, ...named, metadata });
  }

  submit(label, behave, message) {
    const key = this.plan.byKey ? { "idempotency-key": this.key } : {};
    const headers = { ...JSON_TYPE, ...key };
    const same = message === undefined;
    const allowed = same ? [] : ["manifest_mismatch"];
    const options = { method: "POST", path: this.base, headers, body: this.body(message), behave, allowed };
    return this.ask(label, options).then((answer) => {
      this.record.submits.push({ same, ...only(answer, ["status", "code", "executionId"]) });
      return answer;
    });
  }

  follow(label, after, more = {}) {
    // The tail that only a lost storage had comes again; a cursor in it is ahead of the log until then.
    const allowed = this.setting.wipes.length > 0 ? ["cursor_out_of_range"] : [];
    const query = more.snapshot ? `after=${after}&live=false` : `after=${after}`;
    return this.ask(label, { path: `${this.path}/stream?${query}`, after, allowed, ...more });
  }

  /** Waits for the main client to have so many lines, or all. */
  async reaches(count) {
    while (this.main.lines.length < count && !this.over) await pause(5);
  }
}

const only = (from, names) => Object.fromEntries(names.map((name) => [name, from[name]]));

/** Plays one turn with all its clients; gives its record. */
export async function play(setting, plan, turnIndex, random) {
  const turn = new Turn(setting, plan, turnIndex, random);
  setting.turns.push(turn);
  const others = companions(turn);
  await mainClient(turn);
  turn.over = true;
  await Promise.all(others);
  if (plan.replays && !turn.record.unfinished) {
    const again = await turn.submit("replay");
    if (again.status === 200) setting.sites.hit("client: replay of a finished turn");
  }
  turn.closed = true;
  return turn.record;
}

function companions(turn) {
  const { plan, setting } = turn;
  const others = plan.viewers.map((viewer, n) => watch(turn, viewer, n));
  if (plan.burst) others.push(burst(turn));
  if (plan.otherBody) others.push(otherBody(turn));
  if (plan.cancel) others.push(cancel(turn));
  if (plan.approve) others.push(...approvals(turn));
  if (!setting.plain && !plan.alone) others.push(statuses(turn));
  return others;
}

async function mainClient(turn) {
  const { plan, setting, main } = turn;
  setting.sites.hit(plan.byKey ? "client: turn by key" : "client: turn by index");
  let leaves = 0;
  let left = false;
  for (let tries = 0; !main.over; tries++) {
    if (setting.expired) {
      turn.record.unfinished = `no end: ${main.lines.length} lines, the last is ${main.lines.at(-1)}`;
      return;
    }
    const begun = main.lines.length > 0;
    const leaveAfter = plan.alone && !left ? 600 : begun ? plan.leaves[leaves++] : undefined;
    const behave = { leaveAfter, onText: (_, bytes) => main.take(bytes) };
    main.begin();
    if (tries > 0 && !left) setting.sites.hit(`client: ${begun ? "follows" : "submits"} again after a cut`);
    const label = `main ${tries}`;
    const answer = begun
      ? await turn.follow(label, main.lines.length - 1, { behave })
      : await turn.submit(label, behave);
    left = answer.ended === "left";
    if (left && !answer.text.endsWith("\n")) setting.sites.hit("client: leaves in mid-line");
    if (left && plan.alone && main.lines.length > 0 && !turn.wasAlone) await alone(turn);
    if (answer.status >= 400 && answer.status !== 503 && !answer.allowed.includes(answer.code)) {
      turn.record.unfinished = `${label} was refused: ${answer.status} ${answer.code}`;
      return;
    }
    if (answer.status !== 200) await pause(AGAIN_MS);
  }
}

/** Everybody leaves; only the alarm, or the process that drains, can end the turn. */
async function alone(turn) {
  turn.wasAlone = true;
  if (turn.setting.plain) return;
  await until("D1 has its end", () => turn.setting.expired || turn.setting.isOver(turn.record.runId), {
    ms: 300_000,
    everyMs: 150,
  });
  turn.setting.sites.hit("client: nobody stays");
}

async function watch(turn, { style, at, from }, n) {
  await turn.reaches(1 + Math.floor(at * (turn.plan.count - 2)));
  if (turn.main.lines.length === 0 || turn.plan.alone) return;
  const cursor = Math.floor(from * (turn.main.lines.length + 1)) - 1;
  const label = `${style} viewer ${n}`;
  const { sites } = turn.setting;
  if (style === "look") {
    const look = await turn.follow(label, -1, { snapshot: true });
    if (look.status === 200) sites.hit("client: look at the present end");
    return;
  }
  if (style === "sse") await turn.follow(label, cursor, { framing: "sse", headers: { accept: "text/event-stream" } });
  else if (style === "slow") await turn.follow(label, cursor, { behave: { slow: 60 } });
  else if (style === "leaves") {
    const left = await turn.follow(label, cursor, { behave: { leaveAfter: 77 + Math.floor(from * 900) } });
    if (left.ended === "left" && !left.text.endsWith("\n")) sites.hit("client: leaves in mid-line");
  } else await turn.follow(label, cursor);
  if (style === "sse") sites.hit("client: viewer over SSE");
  else if (style === "slow") sites.hit("client: slow viewer");
  else sites.hit("client: viewer from a random cursor");
}

/** The same key twenty times at once, the main client's own submit among them. */
async function burst(turn) {
  const submits = Array.from({ length: BURST - 1 }, (_, n) =>
    turn.submit(`burst ${n}`, n < 3 ? {} : { leaveAfter: 200 + 50 * n }),
  );
  await Promise.all(submits);
  turn.setting.sites.hit("client: twenty submits at once");
}

async function otherBody(turn) {
  await turn.reaches(1);
  while (turn.main.lines.length > 0 && !turn.setting.expired) {
    const answer = await turn.submit("other body", {}, `not ${turn.plan.message}`);
    if (answer.code === "manifest_mismatch") return turn.setting.sites.hit("client: another body under the key");
    if (answer.status === 200) return;
    await pause(AGAIN_MS);
  }
}

/** Posts until the answer is a definite one. */
async function post(turn, label, path, value, allowed) {
  while (!turn.setting.expired) {
    const body = value === undefined ? undefined : JSON.stringify(value);
    const answer = await turn.ask(label, { method: "POST", path, headers: JSON_TYPE, body, allowed, stream: false });
    if ([200, 201, 202].includes(answer.status) || allowed.includes(answer.code)) return answer;
    await pause(AGAIN_MS);
  }
  return null;
}

async function cancel(turn) {
  const { cancel: when, count } = turn.plan;
  await turn.reaches(when === "middle" ? Math.floor(count / 2) : count - 4);
  if (turn.main.lines.length === 0) return;
  turn.steered = true;
  const answer = await post(turn, "cancel", `${turn.path}/cancel`, { reason: "enough" }, []);
  if (answer) turn.setting.sites.hit(`client: cancel ${when === "middle" ? "in the middle" : "beside the end"}`);
}

function approvals(turn) {
  const payloads = turn.plan.approve === "twice" ? ["first", "second"] : ["only"];
  if (turn.plan.approve === "twice") turn.setting.sites.hit("client: two payloads of one event");
  return payloads.map((by) => approve(turn, by));
}

async function approve(turn, by) {
  const waits = turn.plan.approve === "waiting";
  const suspended = () => turn.main.lines.some((line) => line.includes('"session.run.suspended"'));
  while (!turn.over && (waits ? !suspended() : turn.main.lines.length === 0)) await pause(5);
  if (turn.over) return;
  const answer = await post(turn, `approval ${by}`, `${turn.path}/events/approval`, { approved: true, by }, []);
  if (answer === null) return;
  const record = JSON.parse(answer.text).record;
  turn.record.events.push(JSON.stringify(record));
  turn.setting.sites.hit(`client: task approved ${waits ? "while it waits" : "before its wait"}`);
}

async function statuses(turn) {
  await turn.reaches(1);
  while (turn.main.lines.length > 0 && !turn.setting.expired) {
    const answer = await turn.ask("status", { path: turn.path, stream: false });
    if (answer.status === 200) {
      const { status } = JSON.parse(answer.text);
      turn.record.statuses.push({ sentAt: answer.sentAt, at: answer.endedAt, status });
    }
    if (turn.over) return;
    await pause(250);
  }
}
