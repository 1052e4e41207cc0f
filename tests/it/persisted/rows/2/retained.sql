-- A finished turn whose lines the object has let go: D1 has them.
-- now 1700172802000

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
  '9f15c05ef25f1623dab61dffa4564af3d2a35ff65b621117c51773ee65e75e31', -- input_hash
  '{}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":0,"hash":"5948f0fd2167d8d4862323e95df4991ef6a74431dc0bb301982724e237b411fb"}}', -- upstream
  'completed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000100}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1}', -- handle
  '{"textUnits":4}', -- outcome
  NULL, -- usage
  NULL, -- last_error
  3, -- line_count
  NULL, -- wake_at
  2, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'd1', -- log_home
  1700000000100, -- created_at
  1700000000122, -- updated_at
  1700000000122 -- finished_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  0, -- position
  'user', -- role
  '"hello"', -- content
  'complete', -- status
  NULL, -- retry_of
  1, -- rev
  1700000000100 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  1, -- position
  'assistant', -- role
  '"Yes."', -- content
  'complete', -- status
  NULL, -- retry_of
  2, -- rev
  1700000000122 -- created_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'completed', -- status
  1, -- attempts
  '{"lines":3}', -- result
  NULL, -- error
  2, -- rev
  1700000000100, -- started_at
  1700000000122, -- completed_at
  NULL -- detail
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
  '9f15c05ef25f1623dab61dffa4564af3d2a35ff65b621117c51773ee65e75e31', -- input_hash
  '{}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":0,"hash":"5948f0fd2167d8d4862323e95df4991ef6a74431dc0bb301982724e237b411fb"}}', -- upstream
  'completed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000100}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1}', -- handle
  '{"textUnits":4}', -- outcome
  NULL, -- usage
  NULL, -- last_error
  3, -- line_count
  NULL, -- wake_at
  2, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'd1', -- log_home
  1700000000100, -- created_at
  1700000000122, -- updated_at
  1700000000122 -- finished_at
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  0, -- first_seq
  3, -- count
  1, -- epoch
  1, -- attempt
  'f1', -- cursor
  '[null,"f1",null]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":0,"executionId":"acme:s:0"}}
{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"Yes."}}
{"seq":2,"type":"session.run.completed","data":{"sessionId":"s"}}
' -- lines
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  0, -- position
  'user', -- role
  '"hello"', -- content
  'complete', -- status
  NULL, -- retry_of
  1, -- rev
  1700000000100 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  1, -- position
  'assistant', -- role
  '"Yes."', -- content
  'complete', -- status
  NULL, -- retry_of
  2, -- rev
  1700000000122 -- created_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'completed', -- status
  1, -- attempts
  '{"lines":3}', -- result
  NULL, -- error
  2, -- rev
  1700000000100, -- started_at
  1700000000122, -- completed_at
  NULL -- detail
);
