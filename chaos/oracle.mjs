// What must hold of everything that was asked, served, stored and read in a campaign, by docs/invariants.md.
//
// Owns the laws; it performs nothing, so that doctored histories can prove that each law can fail. What it is given is
// plain data: what the upstream would tell an undisturbed caller, what the stores hold at the end, what they held when
// a process was killed, and every byte that any client read.
// Invariant: it never looks at the product for what is right; the only judge is the upstream's own transcript.

const TERMINAL = new Map([
  ["session.run.completed", "completed"],
  ["session.run.failed", "failed"],
  ["session.run.cancelled", "cancelled"],
]);
const HEARTBEAT = '{"type":"heartbeat"}\n';
const SHOWN = 300;

/** Answers that any request may get while processes die; everything else has to be expected by whoever asked. */
const PASSING = new Set(["session_unavailable", "store_unavailable"]);

const parse = (line) => {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
};
const split = (text) => text.split("\n").slice(0, -1);
const unnumbered = (line) => line.replace(/^\{"seq":\d+,/, "{");
const outcomeOf = (line) => TERMINAL.get(parse(line)?.type);

/**
 * Judges a history: `{turns, sessions, autopsies}`, whose shapes stand beside the laws that read them.
 * Gives the violations, each with its evidence, and what was counted.
 */
export function judge({ turns, sessions = [], autopsies = [] }) {
  const court = new Court();
  for (const turn of turns) judgeTurn(court, turn);
  for (const autopsy of autopsies) judgeAutopsy(court, autopsy);
  for (const session of sessions) judgeSession(court, session);
  return court;
}

class Court {
  violations = [];
  lines = 0;
  reads = 0;
  lost = 0;
  doubled = 0;
  differing = 0;
  outcomes = {};

  blame(law, where, evidence) {
    const text = typeof evidence === "string" ? evidence : JSON.stringify(evidence);
    this.violations.push({ law, where, evidence: text.slice(0, 6 * SHOWN) });
  }
}

/**
 * A turn: `{runId, session, turnIndex, expected, log, reads, submits, statuses, events, stored, asked, budget}`.
 * `log` is the text that the API gives at the end, or null when it gave none.
 */
function judgeTurn(court, turn) {
  if (turn.unfinished) court.blame("liveness", turn.runId, turn.unfinished);
  judgeAnswers(court, turn);
  judgeSubmits(court, turn);
  judgeStatuses(court, turn);
  judgeEvents(court, turn);
  if (turn.log === null) {
    if (!turn.unfinished) court.blame("I1 loss", turn.runId, "a turn that was taken has no log");
    return;
  }
  const log = split(turn.log);
  court.lines += log.length;
  const outcome = judgeGrammar(court, turn, log);
  court.outcomes[outcome] = (court.outcomes[outcome] ?? 0) + 1;
  judgeTranscript(court, turn, log, outcome);
  const reads = turn.reads.filter(({ status, stream }) => stream && status === 200);
  for (const read of reads) judgeRead(court, turn, log, read);
  judgeSnapshots(court, turn, reads);
  for (const [name, copy] of Object.entries(turn.stored ?? {})) judgeCopy(court, turn, log, outcome, name, copy);
}

/** I2, I6: numbered from 0 without gaps, opened by the turn's own line, one terminal line, the last. */
function judgeGrammar(court, { runId, session, turnIndex }, log) {
  const parsed = log.map(parse);
  if (parsed.includes(null)) court.blame("I2 grammar", runId, `no JSON: ${log[parsed.indexOf(null)]}`);
  const seqs = parsed.map((line) => line?.seq);
  const odd = seqs.findIndex((seq, n) => seq !== n);
  if (odd >= 0) {
    if (seqs.indexOf(seqs[odd]) < odd) court.doubled += 1;
    else court.lost += 1;
    court.blame("I2 dense", runId, log.slice(Math.max(0, odd - 1), odd + 2));
  }
  const opening = parsed[0];
  const named = opening?.type === "session.run.started" && opening.data?.executionId === runId;
  if (!named || opening.data.sessionId !== session || opening.data.turnIndex !== turnIndex)
    court.blame("I2 opening", runId, log[0] ?? "an empty log");
  const endings = log.flatMap((line, n) => (outcomeOf(line) ? [n] : []));
  if (endings.length !== 1 || endings[0] !== log.length - 1)
    court.blame("I6 one ending", runId, { endings, of: log.length, last: log.slice(-3) });
  return outcomeOf(log.at(-1) ?? "") ?? "open";
}

/**
 * I3, I4: what the upstream made, in its order, each once.
 * `expected`: `{kind: "sandbox", lines, outcomes, gone}` with the unnumbered lines of one attempt,
 * `{kind: "chat", words, outcomes, starts}`, or `{kind: "task", answer, results, outcomes}`.
 */
function judgeTranscript(court, turn, log, outcome) {
  const { expected, runId, asked } = turn;
  if (!expected.outcomes.includes(outcome) && !excused(turn, outcome))
    court.blame("I6 outcome", runId, { outcome, expected: expected.outcomes, last: log.slice(-3) });
  const attempts = attemptsOf(log);
  if (expected.kind === "task") judgeTask(court, turn, log, outcome);
  else
    for (const [n, body] of attempts.entries())
      judgeAttempt(court, turn, body, n === attempts.length - 1 && saidAll(turn, outcome));
  // A start is announced in the log before it is made, so there are at most as many starts as attempts.
  for (const [id, { starts }] of Object.entries(asked.executions))
    if (expected.kind === "sandbox" && starts > 1) court.blame("I4 second start", runId, { id, starts });
  if (expected.kind === "sandbox" && asked.ids > 1 + expected.gone)
    court.blame("I4 second start", runId, { executions: Object.keys(asked.executions), gone: expected.gone });
  const starts = Object.values(asked.executions).reduce((sum, { starts }) => sum + starts, 0);
  if (starts > attempts.length) court.blame("I4 silent start", runId, { starts, attempts: attempts.length });
  if (expected.kind === "chat" && starts > expected.starts)
    court.blame("I4 budget of starts", runId, { starts, budget: expected.starts });
  if (asked.messages.some((message) => message !== turn.message))
    court.blame("I8 another prompt", runId, asked.messages);
  if (expected.told && outcome === "cancelled" && starts > 0 && asked.cancels === 0)
    court.blame("liveness", runId, "the upstream was never told of the cancel");
}

/** Whether the upstream came to its own end: only a cancel, or the loss of the upstream, cuts an answer short. */
const saidAll = (turn, outcome) => ["completed", "failed"].includes(outcome) && !excused(turn, outcome);

/** An upstream that can't be attached again may be lost as often as it may be started. */
function excused({ expected, asked }, outcome) {
  const starts = Object.values(asked.executions).reduce((sum, { starts }) => sum + starts, 0);
  return expected.kind === "chat" && outcome === "failed" && starts >= expected.starts;
}

/** The unnumbered lines of each attempt, without the turn's own first and last ones. */
function attemptsOf(log) {
  const attempts = [[]];
  for (const line of log) {
    const type = parse(line)?.type ?? "";
    if (type === "session.run.restarted") attempts.push([]);
    else if (!type.startsWith("session.run.") && type !== "error") attempts.at(-1).push(unnumbered(line));
  }
  return attempts;
}

function judgeAttempt(court, { expected, runId }, body, whole) {
  const [seen, made] =
    expected.kind === "chat" ? [body.flatMap(deltaOf), expected.words] : [body, expected.lines];
  const odd = seen.findIndex((line, n) => line !== made[n]);
  if (odd < 0 && (!whole || seen.length === made.length)) return;
  const at = odd < 0 ? seen.length : odd;
  const [missing, extra] = [lessThan(seen, made, whole), lessThan(made, seen, true)];
  court.lost += missing;
  court.doubled += extra;
  const law = missing > 0 ? "I1 loss" : extra > 0 ? "I2 duplicate" : "I3 order";
  court.blame(law, runId, { at, is: seen.slice(at, at + 2), made: made.slice(at, at + 2), missing, extra });
}

const deltaOf = (line) => {
  const delta = parse(line)?.data?.delta;
  return delta === undefined ? [] : [delta];
};

/** How many of `all` are not in `some`, counting repeats; up to the last one that is, unless it is to be whole. */
function lessThan(some, all, whole) {
  const left = new Map();
  for (const line of some) left.set(line, (left.get(line) ?? 0) + 1);
  let missing = 0;
  const until = whole ? all.length : 1 + all.findLastIndex((line) => left.has(line));
  for (const line of all.slice(0, until)) {
    const count = left.get(line) ?? 0;
    if (count === 0) missing += 1;
    else left.set(line, count - 1);
  }
  return missing;
}

/** A task's lines may interleave, but each is told once, nothing of a step behind its end, each wait ends. */
function judgeTask(court, { expected, runId }, log, outcome) {
  const told = log.map(unnumbered);
  const twice = told.filter((line, n) => told.indexOf(line) < n);
  court.doubled += twice.length;
  if (twice.length > 0) court.blame("I2 duplicate", runId, twice);
  const ended = new Set();
  const parsed = log.map(parse);
  for (const { type, data } of parsed.filter((line) => line?.type?.startsWith("step."))) {
    if (ended.has(data.step)) court.blame("I3 order", runId, `${type} of ${data.step} behind its end`);
    if (type === "step.completed") ended.add(data.step);
  }
  if (outcome !== "completed") return;
  const count = (wanted) => parsed.filter((line) => line?.type === wanted).length;
  if (count("session.run.suspended") !== count("session.run.awakened"))
    court.blame("I3 order", runId, "a wait without its end");
  if (count("tool.result") !== expected.results) {
    court.lost += Math.max(0, expected.results - count("tool.result"));
    court.blame("I1 loss", runId, { results: count("tool.result"), expected: expected.results });
  }
  const answer = parsed.findLast((line) => line?.type === "result")?.data.finalText;
  if (answer !== expected.answer) court.blame("I1 loss", runId, { answer, expected: expected.answer });
}

/** I1, I2: every byte of a read is what the log holds behind its cursor. */
function judgeRead(court, { runId }, log, read) {
  court.reads += 1;
  const sse = read.framing === "sse";
  const rest = log.slice(read.after + 1);
  const whole = rest
    .map((line, n) => (sse ? `id: ${read.after + 1 + n}\ndata: ${line}\n\n` : `${line}\n`))
    .join("");
  const seen = sse ? read.text.replaceAll(": hb\n\n", "") : withoutHeartbeats(read.text);
  if (whole.startsWith(seen)) return;
  const lines = sse ? seen.split("\n\n").map((event) => event.split("\ndata: ")[1] ?? "") : split(seen);
  const seqs = lines.map((line) => parse(line)?.seq).filter((seq) => seq !== undefined);
  const doubled = seqs.length - new Set(seqs.filter((seq) => seq > read.after)).size;
  const absent = seqs.filter((seq) => seq >= log.length).length;
  const differ = lines.findIndex((line, n) => line !== rest[n]);
  court.doubled += doubled;
  court.lost += absent;
  court.differing += 1;
  const law = doubled > 0 ? "I2 read twice" : absent > 0 ? "I1 read but lost" : "I1 read otherwise";
  court.blame(law, runId, { read: read.label, after: read.after, at: differ, is: lines[differ], log: rest[differ] });
}

/** Heartbeats stand outside of every law; half of one may be the last thing that was read. */
function withoutHeartbeats(text) {
  const clean = text.replaceAll(HEARTBEAT, "");
  const tail = clean.slice(clean.lastIndexOf("\n") + 1);
  return tail.length > 1 && HEARTBEAT.startsWith(tail) ? clean.slice(0, clean.length - tail.length) : clean;
}

/** The lines of a read's first `bytes` bytes end at this seq. */
function lastSeq(read, bytes = Infinity) {
  const text = withoutHeartbeats(Buffer.from(read.text).subarray(0, bytes).toString());
  const count = read.framing === "sse" ? text.split("\n\n").filter((e) => e.startsWith("id: ")).length - 1 : 0;
  return read.framing === "sse" ? read.after + Math.max(0, count) : read.after + split(text).length;
}

/**
 * I1, I9: a look at the log's present end shows what anybody had seen before it was asked for. `wipes` are the times
 * at which storage was taken away: what was only there is the upstream's to tell again.
 */
function judgeSnapshots(court, { runId, wipes = [] }, reads) {
  const looks = reads.filter(({ snapshot, ended }) => snapshot && ended === "end");
  if (looks.length === 0) return;
  const told = reads.flatMap((read) => read.chunks.map(({ at, end }) => ({ at, seq: lastSeq(read, end) })));
  for (const look of looks) {
    const counts = ({ at }) => at < look.sentAt && !wipes.some((wipe) => at < wipe && wipe < look.endedAt);
    const seen = told.filter(counts).reduce((most, { seq }) => Math.max(most, seq), -1);
    const shown = lastSeq(look);
    if (shown >= seen) continue;
    court.lost += seen - shown;
    court.blame("I1 visible before durable", runId, { seen, shown, look: look.label });
  }
}

/**
 * `autopsy`: `{cause, reads: [{runId, read}], stored: {runId: lines}}`, taken between a kill and the next start. What
 * the connections of the dead process had brought is in the files that it left.
 */
function judgeAutopsy(court, { cause, reads, stored }) {
  for (const { runId, read } of reads) {
    if (read.status !== 200) continue;
    const seen = lastSeq(read);
    const held = stored[runId];
    if (held === undefined && seen < 0) continue;
    if (held === undefined || seen >= held) {
      court.lost += seen + 1 - (held ?? 0);
      court.blame("I1 visible before durable", runId, { cause, seen, stored: held ?? null, read: read.label });
    }
  }
}

/** `copy`: `{rows: [{first_seq, count, epoch, lines}], run: {status, line_count, epoch}, messages, rowsMost}`. */
function judgeCopy(court, { runId }, log, outcome, name, { rows, run, messages, rowsMost = Infinity }) {
  const where = `${runId} in ${name}`;
  if (!run) return court.blame("copies", where, "no run");
  let next = 0;
  let epoch = 0;
  for (const row of rows) {
    if (row.first_seq !== next || split(row.lines).length !== row.count)
      court.blame("I2 dense", where, { expected: next, first_seq: row.first_seq, count: row.count });
    if (row.epoch < epoch || row.epoch > run.epoch)
      court.blame("I5 fence", where, { row: row.first_seq, epoch: row.epoch, before: epoch, run: run.epoch });
    next = row.first_seq + row.count;
    epoch = row.epoch;
  }
  const held = rows.map(({ lines }) => lines).join("");
  if (held !== log.map((line) => `${line}\n`).join("")) {
    const lines = split(held);
    const at = log.findIndex((line, n) => line !== lines[n]);
    court.lost += Math.max(0, log.length - lines.length);
    court.doubled += Math.max(0, lines.length - log.length);
    court.blame("copies", where, { at, is: lines[at], log: log[at], lines: lines.length, of: log.length });
  }
  if (run.status !== outcome) court.blame("I6 status", where, { status: run.status, outcome });
  if (run.line_count !== log.length) court.blame("copies", where, { line_count: run.line_count, of: log.length });
  if (rows.length > rowsMost) court.blame("I13 rows", where, { rows: rows.length, most: rowsMost });
  const said = (messages ?? []).map(({ role, status }) => `${role} ${status}`);
  const answer = { completed: "complete", cancelled: "partial", failed: "failed" }[outcome];
  const wanted = ["user complete", `assistant ${answer}`];
  // A turn that ended before its upstream had said anything has no answer to keep.
  const kept = outcome === "completed" ? said.length === 2 : said.length >= 1;
  if (messages && !(kept && said.every((one, n) => one === wanted[n] || (n === 1 && outcome !== "completed"))))
    court.blame("I6 messages", where, said);
}

/** Every answer is the stream, an expected refusal, or one that says: ask again. */
function judgeAnswers(court, { runId, reads }) {
  for (const { label, stream, status, code, allowed = [], unanswered } of reads) {
    if (unanswered) court.blame("liveness", runId, `${label}: no answer and no end`);
    if (status === null || status === 200 || (status === 204 && code === null)) continue;
    if (!stream && [201, 202].includes(status)) continue;
    if (PASSING.has(code) && status === 503) continue;
    if (!allowed.includes(code)) court.blame("defined answers", runId, { read: label, status, code });
  }
}

/** I8: `submits`: `{key, same, status, code, executionId}`; one key names one run, with another body none. */
function judgeSubmits(court, { runId, submits = [] }) {
  for (const { same, status, code, executionId } of submits) {
    if (same && status === 200 && executionId !== runId)
      court.blame("I8 one run a key", runId, { executionId });
    const refused = status === null || (status === 503 && PASSING.has(code)) || code === "manifest_mismatch";
    if (!same && !refused) court.blame("I8 another body", runId, { status, code, executionId });
  }
}

/** I6: `statuses`: `{sentAt, at, status}`; what was final before a question was asked is its answer. */
function judgeStatuses(court, { runId, statuses = [] }) {
  const over = statuses.filter(({ status }) => [...TERMINAL.values()].includes(status)).sort((a, b) => a.at - b.at)[0];
  for (const { sentAt, status } of statuses)
    if (over && sentAt > over.at && status !== over.status)
      court.blame("I6 final", runId, { was: over.status, is: status });
}

/** I7: `events`: the payloads that callers were told, as text; the first one is everybody's. */
function judgeEvents(court, { runId, events = [] }) {
  if (new Set(events).size > 1) court.blame("I7 first emit wins", runId, [...new Set(events)]);
}

/** `{session, turns: [runId], stored: {name: {runs: [runId], turnCount}}}`: what was taken, and nothing else. */
function judgeSession(court, { session, turns, stored }) {
  for (const [name, { runs, turnCount }] of Object.entries(stored)) {
    const [known, held] = [turns.toSorted(), runs.toSorted()];
    if (known.join() !== held.join()) court.blame("I8 runs", `${session} in ${name}`, { known, held });
    if (turnCount !== turns.length) court.blame("I8 turn count", `${session} in ${name}`, { turnCount, turns });
  }
}
