-- The whole schema of Steadfast: the only place where tables are defined.
--
-- `-- @bootstrap` opens what every batch begins with; `-- @migration N SECTION` opens the statements that version N adds in one SECTION:
-- `common` goes to every store, `d1` to D1 only, `object` to the session object's own SQLite only.
-- Statements end with `;` at the end of a line. Versions only add: code accepts a newer schema.
-- Times are milliseconds since the Unix epoch. Columns named here are PERSISTED.

-- @bootstrap

-- Which versions are applied. Inserting a version's key is the first statement of its batch, so that
-- of two appliers at once one wins and the other's whole batch fails.
CREATE TABLE IF NOT EXISTS schema_info (
  version    INTEGER NOT NULL PRIMARY KEY,
  applied_at INTEGER NOT NULL
) WITHOUT ROWID;

-- @migration 1 common

-- One conversation. `session_key` is `[<project>:]<tenant>:<session>`, the run ids' common prefix.
CREATE TABLE sessions (
  session_key TEXT NOT NULL PRIMARY KEY,
  tenant      TEXT NOT NULL,
  session     TEXT NOT NULL,
  birth       TEXT NOT NULL,            -- random, once per life of the object's storage; fences D1
  turn_count  INTEGER NOT NULL,         -- the next turn's index; never falls, not even after deletion
  first_turn  INTEGER NOT NULL,         -- turns below it were erased with the session
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  deleted_at  INTEGER                   -- a tombstone keeps turn_count
) WITHOUT ROWID;

-- One run: a chat turn. Rows change at transitions only; the log's end is in stream_log.
CREATE TABLE runs (
  run_id          TEXT NOT NULL PRIMARY KEY,
  tenant          TEXT NOT NULL,
  session         TEXT NOT NULL,
  turn_index      INTEGER NOT NULL,
  user            TEXT,
  idempotency_key TEXT,
  input_hash      TEXT NOT NULL,
  request         TEXT NOT NULL,        -- JSON: the request as accepted
  upstream        TEXT NOT NULL,        -- JSON: the upstream as resolved then; recovery reads only this
  status          TEXT NOT NULL CHECK (status IN ('queued','running','suspended','completed','failed','cancelled')),
  attempts        TEXT NOT NULL,        -- JSON: each attempt with its reason
  epoch           INTEGER NOT NULL,     -- raised by each acquisition; fences every write
  lease_holder    TEXT,
  lease_until     INTEGER,
  handle          TEXT,                 -- JSON: the upstream execution to attach to
  outcome         TEXT,                 -- JSON: how it ended
  usage           TEXT,                 -- JSON: the upstream's last usage frame
  last_error      TEXT,                 -- JSON: {code, message, at}
  line_count      INTEGER NOT NULL,     -- as of the last transition (object) or ship (D1)
  wake_at         INTEGER,              -- an open run: when somebody should look at the latest
  rev             INTEGER NOT NULL,     -- grows with each change of the run, its messages, steps and events
  cancel          TEXT,                 -- JSON: the durable intent to cancel {reason, at}
  upstream_cancel TEXT,                 -- JSON: a cancel the upstream doesn't know yet {executionId, tries, nextAt}
  log_home        TEXT NOT NULL CHECK (log_home IN ('object','d1','expired')),
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  finished_at     INTEGER
) WITHOUT ROWID;

-- The packed log: a row holds the lines of one commit, each with '\n' behind it.
CREATE TABLE stream_log (
  run_id    TEXT NOT NULL,
  first_seq INTEGER NOT NULL,
  count     INTEGER NOT NULL,
  epoch     INTEGER NOT NULL,
  attempt   INTEGER NOT NULL,
  cursor    TEXT,                       -- the upstream's last frame id up to here
  frame_ids TEXT NOT NULL,              -- JSON: one id or null a line
  lines     TEXT NOT NULL,
  PRIMARY KEY (run_id, first_seq)
) WITHOUT ROWID;

-- The transcript. Position 0 is the user's message, 1 the assistant's.
CREATE TABLE messages (
  session_key TEXT NOT NULL,
  turn_index  INTEGER NOT NULL,
  position    INTEGER NOT NULL,
  role        TEXT NOT NULL,
  content     TEXT NOT NULL,            -- raw JSON: a string, or an array of parts
  status      TEXT NOT NULL CHECK (status IN ('complete','partial','failed')),
  retry_of    INTEGER,                  -- the turn whose message this one repeats
  rev         INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  PRIMARY KEY (session_key, turn_index, position)
) WITHOUT ROWID;

CREATE TABLE steps (
  run_id       TEXT NOT NULL,
  step_index   INTEGER NOT NULL,
  intent       TEXT NOT NULL,
  kind         TEXT NOT NULL,
  status       TEXT NOT NULL,
  attempts     INTEGER NOT NULL,
  result       TEXT,                    -- JSON
  error        TEXT,                    -- JSON
  rev          INTEGER NOT NULL,
  started_at   INTEGER NOT NULL,
  completed_at INTEGER,
  PRIMARY KEY (run_id, step_index)
) WITHOUT ROWID;

-- Keyed facts from outside; the first emit wins.
CREATE TABLE events (
  run_id     TEXT NOT NULL,
  key        TEXT NOT NULL,
  payload    TEXT NOT NULL,             -- JSON
  rev        INTEGER NOT NULL,
  emitted_at INTEGER NOT NULL,
  PRIMARY KEY (run_id, key)
) WITHOUT ROWID;

-- @migration 1 d1

-- A tenant's runs, newest first.
CREATE INDEX runs_by_tenant ON runs (tenant, created_at, run_id);
-- Open runs by the time somebody should look at them: what the cron sweep reads.
CREATE INDEX runs_due ON runs (wake_at) WHERE wake_at IS NOT NULL;
-- Finished runs whose lines are still here: what retention reads.
CREATE INDEX runs_log_due ON runs (finished_at) WHERE finished_at IS NOT NULL AND log_home = 'd1';

-- @migration 1 object

-- Runs of which D1 may lack something, with what it held when the row was written. A ship repeats
-- what D1 has meanwhile rather than pay a row here each time.
CREATE TABLE unshipped (
  run_id TEXT NOT NULL PRIMARY KEY,
  rev    INTEGER NOT NULL,
  lines  INTEGER NOT NULL
) WITHOUT ROWID;
-- An idempotency key names one turn of the session.
CREATE UNIQUE INDEX runs_by_key ON runs (tenant, session, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- Finished runs whose lines this object still keeps: what its retention reads.
CREATE INDEX runs_log_due ON runs (finished_at) WHERE finished_at IS NOT NULL AND log_home = 'object';

-- @migration 2 common

-- JSON, absent while there is nothing to tell: a named step's name, the hash of its input, a wait's
-- deadline, the attempts that failed, the state of its workspace.
ALTER TABLE steps ADD COLUMN detail TEXT;
