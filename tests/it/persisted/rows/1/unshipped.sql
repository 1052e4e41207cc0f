-- A turn that ended while D1 refused every call.
-- now 1700000002400
-- alarm 1700000002624

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
  'completed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000080}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1}', -- handle
  '{"textUnits":16}', -- outcome
  '{"inputTokens":7,"outputTokens":5}', -- usage
  NULL, -- last_error
  14, -- line_count
  NULL, -- wake_at
  2, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'object', -- log_home
  1700000000080, -- created_at
  1700000000602, -- updated_at
  1700000000602 -- finished_at
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
  1, -- count
  1, -- epoch
  1, -- attempt
  'f4', -- cursor
  '["f4"]', -- frame_ids
  '{"seq":4,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"\ude00!"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  5, -- first_seq
  2, -- count
  1, -- epoch
  1, -- attempt
  'f6', -- cursor
  '["f5","f6"]', -- frame_ids
  '{"seq":5,"type":"tool.call","data":{"z":1.0,"a":12345678901234567890,"id":"t1"}}
{"seq":6,"type":"tool.result","data":{"id":"t1","ok":true}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  7, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  'f7', -- cursor
  '["f7"]', -- frame_ids
  '{"seq":7,"type":"upstream.error","data":{"message":"a tool''s"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  8, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  'f8', -- cursor
  '["f8"]', -- frame_ids
  '{"seq":8,"type":"message.part.updated","data":{"part":{"id":"r1","type":"reasoning"},"delta":"hm"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  9, -- first_seq
  2, -- count
  1, -- epoch
  1, -- attempt
  'f10', -- cursor
  '["f9","f10"]', -- frame_ids
  '{"seq":9,"type":"message.part.updated","data":{"part":{"id":"p2","type":"text"},"delta":" é😀"}}
{"seq":10,"type":"status.changed","data":null}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  11, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  'f11', -- cursor
  '["f11"]', -- frame_ids
  '{"seq":11,"type":"usage","data":{"inputTokens":7,"outputTokens":5}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  12, -- first_seq
  2, -- count
  1, -- epoch
  1, -- attempt
  'f12', -- cursor
  '["f12",null]', -- frame_ids
  '{"seq":12,"type":"result","data":{"finalText":"Hello  ü \ud83d\ude00! é😀"}}
{"seq":13,"type":"session.run.completed","data":{"sessionId":"s"}}
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
  '"Hello  ü 😀! é😀"', -- content
  'complete', -- status
  NULL, -- retry_of
  2, -- rev
  1700000000602 -- created_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:0', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'completed', -- status
  1, -- attempts
  '{"lines":14}', -- result
  NULL, -- error
  2, -- rev
  1700000000080, -- started_at
  1700000000602 -- completed_at
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
  'running', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000080}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1}', -- handle
  NULL, -- outcome
  NULL, -- usage
  NULL, -- last_error
  5, -- line_count
  1700000010332, -- wake_at
  1, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'd1', -- log_home
  1700000000080, -- created_at
  1700000000080, -- updated_at
  NULL -- finished_at
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  0, -- first_seq
  5, -- count
  1, -- epoch
  1, -- attempt
  'f4', -- cursor
  '[null,"f1","f2","f3","f4"]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":0,"executionId":"acme:s:0"}}
{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"Hel"}}
{"seq":2,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"lo  \u00fc "}}
{"seq":3,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"\ud83d"}}
{"seq":4,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"\ude00!"}}
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
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:0', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  1, -- rev
  1700000000080, -- started_at
  NULL -- completed_at
);
