-- A cancelled turn whose upstream has answered the cancel with 503 three times.
-- now 1700000003300
-- alarm 1700000005080

-- @object
INSERT INTO schema_info (version, applied_at) VALUES (
  1, -- version
  1700000000080 -- applied_at
);
INSERT INTO sessions (session_key, tenant, session, birth, turn_count, first_turn, created_at, updated_at, deleted_at) VALUES (
  'acme:s', -- session_key
  'acme', -- tenant
  's', -- session
  '7c1f0a52d3b84e9690fd6b2a4e8c3d17', -- birth
  1, -- turn_count
  0, -- first_turn
  1700000000080, -- created_at
  1700000000080, -- updated_at
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
  'cancelled', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000080}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1}', -- handle
  '{"textUnits":12,"reason":"enough"}', -- outcome
  NULL, -- usage
  NULL, -- last_error
  6, -- line_count
  NULL, -- wake_at
  6, -- rev
  '{"reason":"enough","at":1700000000300}', -- cancel
  '{"executionId":"acme:s:0","tries":3,"nextAt":1700000003819}', -- upstream_cancel
  'object', -- log_home
  1700000000080, -- created_at
  1700000001819, -- updated_at
  1700000000302 -- finished_at
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
  1, -- count
  1, -- epoch
  1, -- attempt
  'f1', -- cursor
  '["f1"]', -- frame_ids
  '{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"Hel"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  2, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  'f2', -- cursor
  '["f2"]', -- frame_ids
  '{"seq":2,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"lo  \u00fc "}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  3, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  'f3', -- cursor
  '["f3"]', -- frame_ids
  '{"seq":3,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"\ud83d"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  4, -- first_seq
  2, -- count
  1, -- epoch
  1, -- attempt
  'f4', -- cursor
  '["f4",null]', -- frame_ids
  '{"seq":4,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"\ude00!"}}
{"seq":5,"type":"session.run.cancelled","data":{"sessionId":"s","reason":"enough"}}
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
  1700000000080 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  1, -- position
  'assistant', -- role
  '"Hello  ü 😀!"', -- content
  'partial', -- status
  NULL, -- retry_of
  3, -- rev
  1700000000302 -- created_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:0', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'failed', -- status
  1, -- attempts
  NULL, -- result
  '{"status":"cancelled"}', -- error
  3, -- rev
  1700000000080, -- started_at
  1700000000302 -- completed_at
);

-- @d1
INSERT INTO schema_info (version, applied_at) VALUES (
  1, -- version
  1700000000020 -- applied_at
);
INSERT INTO sessions (session_key, tenant, session, birth, turn_count, first_turn, created_at, updated_at, deleted_at) VALUES (
  'acme:s', -- session_key
  'acme', -- tenant
  's', -- session
  '7c1f0a52d3b84e9690fd6b2a4e8c3d17', -- birth
  1, -- turn_count
  0, -- first_turn
  1700000000080, -- created_at
  1700000000080, -- updated_at
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
  'cancelled', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000080}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1}', -- handle
  '{"textUnits":12,"reason":"enough"}', -- outcome
  NULL, -- usage
  NULL, -- last_error
  6, -- line_count
  NULL, -- wake_at
  6, -- rev
  '{"reason":"enough","at":1700000000300}', -- cancel
  '{"executionId":"acme:s:0","tries":3,"nextAt":1700000003819}', -- upstream_cancel
  'd1', -- log_home
  1700000000080, -- created_at
  1700000001819, -- updated_at
  1700000000302 -- finished_at
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  0, -- first_seq
  6, -- count
  1, -- epoch
  1, -- attempt
  'f4', -- cursor
  '[null,"f1","f2","f3","f4",null]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":0,"executionId":"acme:s:0"}}
{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"Hel"}}
{"seq":2,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"lo  \u00fc "}}
{"seq":3,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"\ud83d"}}
{"seq":4,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"\ude00!"}}
{"seq":5,"type":"session.run.cancelled","data":{"sessionId":"s","reason":"enough"}}
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
  1700000000080 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  1, -- position
  'assistant', -- role
  '"Hello  ü 😀!"', -- content
  'partial', -- status
  NULL, -- retry_of
  3, -- rev
  1700000000302 -- created_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:0', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'failed', -- status
  1, -- attempts
  NULL, -- result
  '{"status":"cancelled"}', -- error
  3, -- rev
  1700000000080, -- started_at
  1700000000302 -- completed_at
);
