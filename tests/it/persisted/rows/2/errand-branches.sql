-- A task with one step done and three branches under way. Its own step says `llm`, as that of a task once did.
-- now 1700000000115
-- alarm 1700000005100

-- @object
INSERT INTO schema_info (version, applied_at) VALUES (
  1, -- version
  1700000000100 -- applied_at
);
INSERT INTO schema_info (version, applied_at) VALUES (
  2, -- version
  1700000000100 -- applied_at
);
INSERT INTO sessions (session_key, tenant, session, birth, turn_count, first_turn, created_at, updated_at, deleted_at) VALUES (
  'acme:s', -- session_key
  'acme', -- tenant
  's', -- session
  '7c1f0a52d3b84e9690fd6b2a4e8c3d17', -- birth
  1, -- turn_count
  0, -- first_turn
  1700000000100, -- created_at
  1700000000100, -- updated_at
  NULL -- deleted_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'acme:s:0', -- run_id
  'acme', -- tenant
  's', -- session
  0, -- turn_index
  NULL, -- user
  'k-1', -- idempotency_key
  'b4f4d32b00a81be946e83cd89882a069040a9682a50cf8057f1c939820b9fa1b', -- input_hash
  '{"upstream":"task:errand"}', -- request
  '{"kind":"task","name":"errand","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":0,"hash":"5948f0fd2167d8d4862323e95df4991ef6a74431dc0bb301982724e237b411fb"}}', -- upstream
  'running', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000100}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1}', -- handle
  NULL, -- outcome
  NULL, -- usage
  NULL, -- last_error
  1, -- line_count
  1700000005100, -- wake_at
  6, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'object', -- log_home
  1700000000100, -- created_at
  1700000000110, -- updated_at
  NULL -- finished_at
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  0, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  NULL, -- cursor
  '[null]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":0,"executionId":"acme:s:0"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  1, -- first_seq
  2, -- count
  1, -- epoch
  1, -- attempt
  's:3:1:step.started', -- cursor
  '["t:began","s:3:1:step.started"]', -- frame_ids
  '{"seq":1,"type":"errand.began","data":{"at":1700000000102,"id":"5b0e4d7a-91c3-4f26-8a1d-c0de37f9b264"}}
{"seq":2,"type":"step.started","data":{"step":"first","kind":"logic","attempt":1}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  3, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  's:3:1:step.completed', -- cursor
  '["s:3:1:step.completed"]', -- frame_ids
  '{"seq":3,"type":"step.completed","data":{"step":"first","kind":"logic","attempt":1}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  4, -- first_seq
  4, -- count
  1, -- epoch
  1, -- attempt
  's:1048578:1:step.started', -- cursor
  '["t:did-first","s:1048576:1:step.started","s:1048577:1:step.started","s:1048578:1:step.started"]', -- frame_ids
  '{"seq":4,"type":"errand.did","data":{"attempt":1,"step":"first"}}
{"seq":5,"type":"step.started","data":{"step":"branch:a","kind":"tool","attempt":1}}
{"seq":6,"type":"step.started","data":{"step":"branch:b","kind":"tool","attempt":1}}
{"seq":7,"type":"step.started","data":{"step":"branch:c","kind":"tool","attempt":1}}
' -- lines
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  0, -- position
  'user', -- role
  '"go"', -- content
  'complete', -- status
  NULL, -- retry_of
  1, -- rev
  1700000000100 -- created_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  1, -- rev
  1700000000100, -- started_at
  NULL, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1, -- step_index
  'deterministic:now', -- intent
  'deterministic', -- kind
  'completed', -- status
  1, -- attempts
  '1700000000102', -- result
  NULL, -- error
  2, -- rev
  1700000000102, -- started_at
  1700000000102, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  2, -- step_index
  'deterministic:uuid', -- intent
  'deterministic', -- kind
  'completed', -- status
  1, -- attempts
  '"5b0e4d7a-91c3-4f26-8a1d-c0de37f9b264"', -- result
  NULL, -- error
  3, -- rev
  1700000000102, -- started_at
  1700000000102, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  3, -- step_index
  'first', -- intent
  'logic', -- kind
  'completed', -- status
  1, -- attempts
  '1', -- result
  NULL, -- error
  5, -- rev
  1700000000102, -- started_at
  1700000000110, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048576, -- step_index
  'branch:a', -- intent
  'tool', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  6, -- rev
  1700000000110, -- started_at
  NULL, -- completed_at
  '{"name":"branch:a","inputHash":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048577, -- step_index
  'branch:b', -- intent
  'tool', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  6, -- rev
  1700000000110, -- started_at
  NULL, -- completed_at
  '{"name":"branch:b","inputHash":"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048578, -- step_index
  'branch:c', -- intent
  'tool', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  6, -- rev
  1700000000110, -- started_at
  NULL, -- completed_at
  '{"name":"branch:c","inputHash":"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"}' -- detail
);
INSERT INTO unshipped (run_id, rev, lines) VALUES (
  'acme:s:0', -- run_id
  0, -- rev
  0 -- lines
);

-- @d1
INSERT INTO schema_info (version, applied_at) VALUES (
  1, -- version
  1700000000020 -- applied_at
);
INSERT INTO schema_info (version, applied_at) VALUES (
  2, -- version
  1700000000020 -- applied_at
);
