-- What the releases of version 1 made in an empty database.

-- @common
CREATE TABLE IF NOT EXISTS schema_info (
  version    INTEGER NOT NULL PRIMARY KEY,
  applied_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE sessions (
  session_key TEXT NOT NULL PRIMARY KEY,
  tenant      TEXT NOT NULL,
  session     TEXT NOT NULL,
  birth       TEXT NOT NULL,
  turn_count  INTEGER NOT NULL,
  first_turn  INTEGER NOT NULL,
  created_at  INTEGER NOT NULL,
  updated_at  INTEGER NOT NULL,
  deleted_at  INTEGER
) WITHOUT ROWID;
CREATE TABLE runs (
  run_id          TEXT NOT NULL PRIMARY KEY,
  tenant          TEXT NOT NULL,
  session         TEXT NOT NULL,
  turn_index      INTEGER NOT NULL,
  user            TEXT,
  idempotency_key TEXT,
  input_hash      TEXT NOT NULL,
  request         TEXT NOT NULL,
  upstream        TEXT NOT NULL,
  status          TEXT NOT NULL CHECK (status IN ('queued','running','suspended','completed','failed','cancelled')),
  attempts        TEXT NOT NULL,
  epoch           INTEGER NOT NULL,
  lease_holder    TEXT,
  lease_until     INTEGER,
  handle          TEXT,
  outcome         TEXT,
  usage           TEXT,
  last_error      TEXT,
  line_count      INTEGER NOT NULL,
  wake_at         INTEGER,
  rev             INTEGER NOT NULL,
  cancel          TEXT,
  upstream_cancel TEXT,
  log_home        TEXT NOT NULL CHECK (log_home IN ('object','d1','expired')),
  created_at      INTEGER NOT NULL,
  updated_at      INTEGER NOT NULL,
  finished_at     INTEGER
) WITHOUT ROWID;
CREATE TABLE stream_log (
  run_id    TEXT NOT NULL,
  first_seq INTEGER NOT NULL,
  count     INTEGER NOT NULL,
  epoch     INTEGER NOT NULL,
  attempt   INTEGER NOT NULL,
  cursor    TEXT,
  frame_ids TEXT NOT NULL,
  lines     TEXT NOT NULL,
  PRIMARY KEY (run_id, first_seq)
) WITHOUT ROWID;
CREATE TABLE messages (
  session_key TEXT NOT NULL,
  turn_index  INTEGER NOT NULL,
  position    INTEGER NOT NULL,
  role        TEXT NOT NULL,
  content     TEXT NOT NULL,
  status      TEXT NOT NULL CHECK (status IN ('complete','partial','failed')),
  retry_of    INTEGER,
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
  result       TEXT,
  error        TEXT,
  rev          INTEGER NOT NULL,
  started_at   INTEGER NOT NULL,
  completed_at INTEGER,
  PRIMARY KEY (run_id, step_index)
) WITHOUT ROWID;
CREATE TABLE events (
  run_id     TEXT NOT NULL,
  key        TEXT NOT NULL,
  payload    TEXT NOT NULL,
  rev        INTEGER NOT NULL,
  emitted_at INTEGER NOT NULL,
  PRIMARY KEY (run_id, key)
) WITHOUT ROWID;

-- @object
CREATE TABLE unshipped (
  run_id TEXT NOT NULL PRIMARY KEY,
  rev    INTEGER NOT NULL,
  lines  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX runs_by_key ON runs (tenant, session, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX runs_log_due ON runs (finished_at) WHERE finished_at IS NOT NULL AND log_home = 'object';

-- @d1
CREATE INDEX runs_by_tenant ON runs (tenant, created_at, run_id);
CREATE INDEX runs_due ON runs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX runs_log_due ON runs (finished_at) WHERE finished_at IS NOT NULL AND log_home = 'd1';
