// The oracle against doctored histories: each law must be able to fail, and a good history must pass.

import assert from "node:assert/strict";
import { test } from "node:test";
import { judge } from "./oracle.mjs";
import { linesOf } from "./plan.mjs";

const SESSION = "s";
const RUN = "dev:s:0";
const lineOf = (seq, type, data) => `{"seq":${seq},"type":"${type}","data":${JSON.stringify(data)}}`;
const started = lineOf(0, "session.run.started", {
  sessionId: SESSION,
  tenantId: "dev",
  turnIndex: 0,
  executionId: RUN,
});
const made = linesOf({ lines: 5, seed: 3 });
const numbered = (bodies, from) => bodies.map((body, n) => `{"seq":${from + n},${body.slice(1)}`);
const completed = (seq) => lineOf(seq, "session.run.completed", { sessionId: SESSION });
const GOOD = [started, ...numbered(made, 1), completed(made.length + 1)];
const text = (lines) => lines.map((line) => `${line}\n`).join("");

const readOf = (body, more = {}) => ({
  label: "viewer",
  stream: true,
  after: -1,
  framing: "ndjson",
  status: 200,
  code: null,
  snapshot: false,
  sentAt: 10,
  endedAt: 20,
  ended: "end",
  text: body,
  chunks: [{ at: 15, end: Buffer.byteLength(body) }],
  ...more,
});

function rowsOf(lines, size = 3) {
  const rows = [];
  for (let at = 0; at < lines.length; at += size) {
    const part = lines.slice(at, at + size);
    rows.push({ first_seq: at, count: part.length, epoch: 1, lines: text(part) });
  }
  return rows;
}

const copyOf = (lines) => ({
  rows: rowsOf(lines),
  run: { status: "completed", line_count: lines.length, epoch: 1 },
  messages: [
    { role: "user", status: "complete" },
    { role: "assistant", status: "complete" },
  ],
});

function good() {
  return {
    turns: [
      {
        runId: RUN,
        session: SESSION,
        turnIndex: 0,
        message: "go",
        unfinished: null,
        expected: { kind: "sandbox", lines: made, outcomes: ["completed"], gone: 0, told: true },
        log: text(GOOD),
        reads: [readOf(text(GOOD)), readOf(text(GOOD.slice(3)).slice(0, -20), { after: 2, ended: "cut" })],
        submits: [{ same: true, status: 200, code: null, executionId: RUN }],
        statuses: [{ sentAt: 1, at: 2, status: "completed" }],
        events: [],
        stored: { d1: copyOf(GOOD), object: copyOf(GOOD) },
        asked: { executions: { [RUN]: { starts: 1 } }, ids: 1, cancels: 0, messages: ["go"] },
      },
    ],
    sessions: [{ session: SESSION, turns: [RUN], stored: { d1: { runs: [RUN], turnCount: 1 } } }],
    autopsies: [
      { cause: "SIGKILL", stored: { [RUN]: 4 }, reads: [{ runId: RUN, read: readOf(text(GOOD.slice(0, 4))) }] },
    ],
  };
}

/** Judges a good history that `doctor` has changed, and wants a violation of `law`. */
function caught(law, doctor) {
  const history = good();
  doctor(history.turns[0], history);
  const { violations, ...counts } = judge(history);
  assert.ok(
    violations.some((violation) => violation.law === law),
    `${law} is not among ${JSON.stringify(violations)}`,
  );
  return counts;
}

/** The whole of a turn as if the product had made `lines` of it: log, copies and reads agree. */
function told(turn, lines) {
  turn.log = text(lines);
  turn.reads = [readOf(turn.log)];
  turn.stored = { d1: copyOf(lines) };
}

test("a good history has no violation", () => {
  const { violations, lost, doubled, lines, reads } = judge(good());
  assert.deepEqual(violations, []);
  assert.deepEqual({ lost, doubled, lines, reads }, { lost: 0, doubled: 0, lines: GOOD.length, reads: 2 });
});

test("a line that the upstream made and nobody has", () => {
  const { lost } = caught("I1 loss", (turn) => {
    const left = made.toSpliced(2, 1);
    told(turn, [started, ...numbered(left, 1), completed(left.length + 1)]);
  });
  assert.ok(lost > 0);
});

test("a line that everybody has twice", () => {
  const { doubled } = caught("I2 duplicate", (turn) => {
    const twice = made.toSpliced(2, 0, made[2]);
    told(turn, [started, ...numbered(twice, 1), completed(twice.length + 1)]);
  });
  assert.ok(doubled > 0);
});

test("two lines in another order", () => {
  caught("I3 order", (turn) => {
    const [a, b, ...rest] = made;
    told(turn, [started, ...numbered([b, a, ...rest], 1), completed(made.length + 1)]);
  });
});

test("an answer that ends before the upstream's does", () => {
  caught("I1 loss", (turn) => {
    const short = made.slice(0, -1);
    told(turn, [started, ...numbered(short, 1), completed(short.length + 1)]);
  });
});

test("a number that is missing, one that comes twice", () => {
  caught("I2 dense", (turn) => told(turn, GOOD.toSpliced(2, 1)));
  caught("I2 dense", (turn) => told(turn, GOOD.toSpliced(2, 0, GOOD[2])));
});

test("two terminal lines, none, one that is not the last", () => {
  const again = lineOf(GOOD.length, "session.run.cancelled", { sessionId: SESSION });
  caught("I6 one ending", (turn) => told(turn, [...GOOD, again]));
  caught("I6 one ending", (turn) => told(turn, GOOD.slice(0, -1)));
  caught("I6 one ending", (turn) => told(turn, [...GOOD, `{"seq":${GOOD.length},"type":"usage","data":{}}`]));
});

test("an outcome that nothing brought about", () => {
  const failed = lineOf(GOOD.length - 1, "session.run.failed", { sessionId: SESSION });
  caught("I6 outcome", (turn) => told(turn, [...GOOD.slice(0, -1), failed]));
});

test("a second start, silent or not", () => {
  caught("I4 second start", (turn) => {
    turn.asked.executions[RUN].starts = 2;
  });
  caught("I4 second start", (turn) => {
    turn.asked = { ...turn.asked, ids: 2, executions: { [RUN]: { starts: 1 }, [`${RUN}:a2`]: { starts: 1 } } };
  });
  caught("I4 silent start", (turn) => {
    turn.expected = { kind: "chat", words: [], outcomes: ["completed"], starts: 9 };
    turn.asked.executions[RUN].starts = 2;
  });
});

test("a start beyond the budget, and another prompt", () => {
  caught("I4 budget of starts", (turn) => {
    turn.expected = { kind: "chat", words: [], outcomes: ["completed"], starts: 1 };
    turn.asked.executions[RUN].starts = 2;
  });
  caught("I8 another prompt", (turn) => turn.asked.messages.push("other"));
});

test("bytes that a reader saw and the log has otherwise", () => {
  caught("I1 read otherwise", (turn) => {
    turn.reads[0].text = turn.reads[0].text.replace("stone", "stonE").replace("signal", "signaL");
    turn.reads[0].text = turn.reads[0].text.replace("drift", "drifT").replace("calm", "calM");
  });
});

test("a line that a reader saw and the log has not", () => {
  const { lost } = caught("I1 read but lost", (turn) => {
    turn.reads[0].text += `{"seq":${GOOD.length},"type":"usage","data":{}}\n`;
  });
  assert.equal(lost, 1);
});

test("a line that a reader saw twice, in either framing", () => {
  const { doubled } = caught("I2 read twice", (turn) => {
    turn.reads[0].text = text([...GOOD.slice(0, 3), ...GOOD.slice(2)]);
  });
  assert.equal(doubled, 1);
  caught("I2 read twice", (turn) => {
    const events = GOOD.map((line, n) => `id: ${n}\ndata: ${line}\n\n`);
    turn.reads[0] = readOf([...events.slice(0, 3), ...events.slice(2)].join(""), { framing: "sse" });
  });
});

test("a line that a reader had already when it came back", () => {
  const { doubled } = caught("I2 read twice", (turn) => turn.reads.push(readOf(text(GOOD.slice(3)), { after: 3 })));
  assert.equal(doubled, 1);
});

test("heartbeats are outside of every law, whole or half", () => {
  const history = good();
  const [read] = history.turns[0].reads;
  read.text = `${text(GOOD.slice(0, 3))}{"type":"heartbeat"}\n${text(GOOD.slice(3, 5))}{"type":"heart`;
  assert.deepEqual(judge(history).violations, []);
});

test("what was read and is not in the store that the killed process left", () => {
  const { lost } = caught("I1 visible before durable", (_, { autopsies }) => {
    autopsies[0].stored[RUN] = 3;
  });
  assert.equal(lost, 1);
  caught("I1 visible before durable", (_, { autopsies }) => {
    autopsies[0].stored = {};
  });
});

test("a look at the end that shows less than was seen before, unless storage was lost", () => {
  const short = text(GOOD.slice(0, 2));
  const look = readOf(short, { snapshot: true, sentAt: 30, endedAt: 40, chunks: [{ at: 35, end: short.length }] });
  caught("I1 visible before durable", (turn) => turn.reads.push(look));
  const history = good();
  history.turns[0].reads.push(look);
  history.turns[0].wipes = [25];
  assert.deepEqual(judge(history).violations, []);
});

test("copies that differ: a row gone, a row twice, another status, another count", () => {
  caught("copies", (turn) => turn.stored.d1.rows.pop());
  caught("I2 dense", (turn) => turn.stored.d1.rows.splice(1, 1));
  caught("I2 dense", (turn) => turn.stored.object.rows.push(turn.stored.object.rows.at(-1)));
  caught("I6 status", (turn) => {
    turn.stored.d1.run.status = "running";
  });
  caught("copies", (turn) => {
    turn.stored.d1.run.line_count = 2;
  });
  caught("copies", (turn) => {
    turn.stored.d1.run = undefined;
  });
  caught("I6 messages", (turn) => turn.stored.d1.messages.pop());
});

test("a row of an older epoch behind a newer one, or of one that never was", () => {
  caught("I5 fence", (turn) => {
    turn.stored.d1.run.epoch = 2;
    turn.stored.d1.rows[0].epoch = 2;
  });
  caught("I5 fence", (turn) => {
    turn.stored.d1.rows.at(-1).epoch = 7;
  });
});

test("more rows than a turn may cost", () => {
  caught("I13 rows", (turn) => {
    turn.stored.object.rowsMost = 2;
  });
});

test("a key that names two runs, another body that is taken", () => {
  caught("I8 one run a key", (turn) => turn.submits.push({ same: true, status: 200, executionId: "dev:s:1" }));
  caught("I8 another body", (turn) => turn.submits.push({ same: false, status: 200, executionId: RUN }));
  caught("I8 runs", (_, { sessions }) => sessions[0].stored.d1.runs.push("dev:s:1"));
  caught("I8 turn count", (_, { sessions }) => {
    sessions[0].stored.d1.turnCount = 2;
  });
});

test("an end that was none, an event with two payloads", () => {
  caught("I6 final", (turn) => turn.statuses.push({ sentAt: 3, at: 4, status: "running" }));
  caught("I7 first emit wins", (turn) => turn.events.push('{"by":"a"}', '{"by":"b"}'));
});

test("a turn without an end, a client without an answer, an answer nobody defined", () => {
  caught("liveness", (turn) => {
    turn.unfinished = "no end";
  });
  caught("liveness", (turn) => {
    turn.reads[0].unanswered = true;
  });
  caught("I1 loss", (turn) => {
    turn.log = null;
  });
  caught("defined answers", (turn) => turn.reads.push(readOf("", { status: 500, code: "internal" })));
  caught("liveness", (turn) => {
    turn.expected.outcomes = ["cancelled"];
    const short = [...GOOD.slice(0, 3), lineOf(3, "session.run.cancelled", { sessionId: SESSION })];
    told(turn, short);
  });
});

test("a task's line told twice, a step that goes on behind its end", () => {
  const end = '"type":"step.completed","data":{"step":"a"}}';
  const task = (turn, bodies) => {
    turn.expected = { kind: "task", answer: "x", results: 0, outcomes: ["completed"] };
    told(turn, [started, ...numbered(bodies.map((body) => `{${body}`), 1), completed(bodies.length + 1)]);
  };
  caught("I2 duplicate", (turn) => task(turn, [end, end]));
  caught("I3 order", (turn) => task(turn, [end, '"type":"step.started","data":{"step":"a"}}']));
  caught("I1 loss", (turn) => task(turn, ['"type":"result","data":{"finalText":"y"}}']));
});
