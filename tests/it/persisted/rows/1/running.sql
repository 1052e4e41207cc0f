-- A turn over a sandbox in the middle of its frames, behind three turns that are over: one completed,
-- one failed, and that one's message again. D1 has the turn up to seq 4.
-- now 1700000022330
-- alarm 1700000027000

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
  4, -- turn_count
  0, -- first_turn
  1700000000080, -- created_at
  1700000022000, -- updated_at
  NULL -- deleted_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'acme:s:0', -- run_id
  'acme', -- tenant
  's', -- session
  0, -- turn_index
  NULL, -- user
  NULL, -- idempotency_key
  '01c28b9392834878e7b715b8c4d336ebddbc5d26ca8c69a169de5e8a38623eb0', -- input_hash
  '{}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":0,"hash":"5948f0fd2167d8d4862323e95df4991ef6a74431dc0bb301982724e237b411fb"}}', -- upstream
  'completed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000080}]', -- attempts
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
  'object', -- log_home
  1700000000080, -- created_at
  1700000000102, -- updated_at
  1700000000102 -- finished_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'acme:s:1', -- run_id
  'acme', -- tenant
  's', -- session
  1, -- turn_index
  NULL, -- user
  NULL, -- idempotency_key
  '6bb9df250b0f64bde9ee976622d85123a8faa536f22f8b6852fa0f60b046bead', -- input_hash
  '{}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":2,"fromTurn":0,"toTurn":0,"hash":"fd91063a385eedc8f95d7d04965bf375503d8bdd37559d7efd5c03c4270a70f3"}}', -- upstream
  'failed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000001000}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:1","attempt":1}', -- handle
  '{"textUnits":4}', -- outcome
  NULL, -- usage
  '{"code":"upstream_failed","message":"no luck","at":1700000001022}', -- last_error
  4, -- line_count
  NULL, -- wake_at
  2, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'object', -- log_home
  1700000001000, -- created_at
  1700000001022, -- updated_at
  1700000001022 -- finished_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'acme:s:2', -- run_id
  'acme', -- tenant
  's', -- session
  2, -- turn_index
  NULL, -- user
  NULL, -- idempotency_key
  '4291cc004602aaea3d6b868713f202928097b14cca4d6846be43108c733edf83', -- input_hash
  '{"retryOf":1}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":2,"fromTurn":0,"toTurn":0,"hash":"fd91063a385eedc8f95d7d04965bf375503d8bdd37559d7efd5c03c4270a70f3"}}', -- upstream
  'completed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000002000}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:2","attempt":1}', -- handle
  '{"textUnits":4}', -- outcome
  NULL, -- usage
  NULL, -- last_error
  3, -- line_count
  NULL, -- wake_at
  2, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'object', -- log_home
  1700000002000, -- created_at
  1700000002022, -- updated_at
  1700000002022 -- finished_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'acme:s:3', -- run_id
  'acme', -- tenant
  's', -- session
  3, -- turn_index
  NULL, -- user
  'k-1', -- idempotency_key
  '80577b80029de0a015f50937d0c75220bf7a0e1e7f08c5e82a119cce40d57e15', -- input_hash
  '{"model":"small","upstream":"sandbox","metadata":{"b":1.0,"a":[2]}}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":4,"fromTurn":0,"toTurn":2,"hash":"2faea0bf27e8cccaa7ed810e39afd4775f463ba59162067728deaa8231b3ffac"}}', -- upstream
  'running', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000022000}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:3","attempt":1}', -- handle
  NULL, -- outcome
  NULL, -- usage
  NULL, -- last_error
  1, -- line_count
  1700000027000, -- wake_at
  1, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'object', -- log_home
  1700000022000, -- created_at
  1700000022000, -- updated_at
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
  'f1', -- cursor
  '["f1",null]', -- frame_ids
  '{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"Yes."}}
{"seq":2,"type":"session.run.completed","data":{"sessionId":"s"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:1', -- run_id
  0, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  NULL, -- cursor
  '[null]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":1,"executionId":"acme:s:1"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:1', -- run_id
  1, -- first_seq
  3, -- count
  1, -- epoch
  1, -- attempt
  'f1', -- cursor
  '["f1",null,null]', -- frame_ids
  '{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"Yes."}}
{"seq":2,"type":"error","data":{"code":"upstream_failed","message":"no luck"}}
{"seq":3,"type":"session.run.failed","data":{"sessionId":"s","message":"no luck"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:2', -- run_id
  0, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  NULL, -- cursor
  '[null]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":2,"executionId":"acme:s:2"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:2', -- run_id
  1, -- first_seq
  2, -- count
  1, -- epoch
  1, -- attempt
  'f1', -- cursor
  '["f1",null]', -- frame_ids
  '{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"Yes."}}
{"seq":2,"type":"session.run.completed","data":{"sessionId":"s"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:3', -- run_id
  0, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  NULL, -- cursor
  '[null]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":3,"executionId":"acme:s:3"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:3', -- run_id
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
  'acme:s:3', -- run_id
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
  'acme:s:3', -- run_id
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
  'acme:s:3', -- run_id
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
  'acme:s:3', -- run_id
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
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  0, -- position
  'user', -- role
  '"first"', -- content
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
  '"Yes."', -- content
  'complete', -- status
  NULL, -- retry_of
  2, -- rev
  1700000000102 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  1, -- turn_index
  0, -- position
  'user', -- role
  '"second"', -- content
  'complete', -- status
  NULL, -- retry_of
  1, -- rev
  1700000001000 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  1, -- turn_index
  1, -- position
  'assistant', -- role
  '"Yes."', -- content
  'failed', -- status
  NULL, -- retry_of
  2, -- rev
  1700000001022 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  2, -- turn_index
  0, -- position
  'user', -- role
  '"second"', -- content
  'complete', -- status
  1, -- retry_of
  1, -- rev
  1700000002000 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  2, -- turn_index
  1, -- position
  'assistant', -- role
  '"Yes."', -- content
  'complete', -- status
  NULL, -- retry_of
  2, -- rev
  1700000002022 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  3, -- turn_index
  0, -- position
  'user', -- role
  '"hello"', -- content
  'complete', -- status
  NULL, -- retry_of
  1, -- rev
  1700000022000 -- created_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:0', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'completed', -- status
  1, -- attempts
  '{"lines":3}', -- result
  NULL, -- error
  2, -- rev
  1700000000080, -- started_at
  1700000000102 -- completed_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:1', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'failed', -- status
  1, -- attempts
  NULL, -- result
  '{"status":"failed"}', -- error
  2, -- rev
  1700000001000, -- started_at
  1700000001022 -- completed_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:2', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'completed', -- status
  1, -- attempts
  '{"lines":3}', -- result
  NULL, -- error
  2, -- rev
  1700000002000, -- started_at
  1700000002022 -- completed_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:3', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  1, -- rev
  1700000022000, -- started_at
  NULL -- completed_at
);
INSERT INTO unshipped (run_id, rev, lines) VALUES (
  'acme:s:3', -- run_id
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
  4, -- turn_count
  0, -- first_turn
  1700000000080, -- created_at
  1700000022000, -- updated_at
  NULL -- deleted_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'acme:s:0', -- run_id
  'acme', -- tenant
  's', -- session
  0, -- turn_index
  NULL, -- user
  NULL, -- idempotency_key
  '01c28b9392834878e7b715b8c4d336ebddbc5d26ca8c69a169de5e8a38623eb0', -- input_hash
  '{}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":0,"hash":"5948f0fd2167d8d4862323e95df4991ef6a74431dc0bb301982724e237b411fb"}}', -- upstream
  'completed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000080}]', -- attempts
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
  1700000000080, -- created_at
  1700000000102, -- updated_at
  1700000000102 -- finished_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'acme:s:1', -- run_id
  'acme', -- tenant
  's', -- session
  1, -- turn_index
  NULL, -- user
  NULL, -- idempotency_key
  '6bb9df250b0f64bde9ee976622d85123a8faa536f22f8b6852fa0f60b046bead', -- input_hash
  '{}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":2,"fromTurn":0,"toTurn":0,"hash":"fd91063a385eedc8f95d7d04965bf375503d8bdd37559d7efd5c03c4270a70f3"}}', -- upstream
  'failed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000001000}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:1","attempt":1}', -- handle
  '{"textUnits":4}', -- outcome
  NULL, -- usage
  '{"code":"upstream_failed","message":"no luck","at":1700000001022}', -- last_error
  4, -- line_count
  NULL, -- wake_at
  2, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'd1', -- log_home
  1700000001000, -- created_at
  1700000001022, -- updated_at
  1700000001022 -- finished_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'acme:s:2', -- run_id
  'acme', -- tenant
  's', -- session
  2, -- turn_index
  NULL, -- user
  NULL, -- idempotency_key
  '4291cc004602aaea3d6b868713f202928097b14cca4d6846be43108c733edf83', -- input_hash
  '{"retryOf":1}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":2,"fromTurn":0,"toTurn":0,"hash":"fd91063a385eedc8f95d7d04965bf375503d8bdd37559d7efd5c03c4270a70f3"}}', -- upstream
  'completed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000002000}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:2","attempt":1}', -- handle
  '{"textUnits":4}', -- outcome
  NULL, -- usage
  NULL, -- last_error
  3, -- line_count
  NULL, -- wake_at
  2, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'd1', -- log_home
  1700000002000, -- created_at
  1700000002022, -- updated_at
  1700000002022 -- finished_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'acme:s:3', -- run_id
  'acme', -- tenant
  's', -- session
  3, -- turn_index
  NULL, -- user
  'k-1', -- idempotency_key
  '80577b80029de0a015f50937d0c75220bf7a0e1e7f08c5e82a119cce40d57e15', -- input_hash
  '{"model":"small","upstream":"sandbox","metadata":{"b":1.0,"a":[2]}}', -- request
  '{"kind":"sandbox","url":"http://upstream.test","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":4,"fromTurn":0,"toTurn":2,"hash":"2faea0bf27e8cccaa7ed810e39afd4775f463ba59162067728deaa8231b3ffac"}}', -- upstream
  'running', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000022000}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:3","attempt":1}', -- handle
  NULL, -- outcome
  NULL, -- usage
  NULL, -- last_error
  5, -- line_count
  1700000032252, -- wake_at
  1, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'd1', -- log_home
  1700000022000, -- created_at
  1700000022000, -- updated_at
  NULL -- finished_at
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
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:1', -- run_id
  0, -- first_seq
  4, -- count
  1, -- epoch
  1, -- attempt
  'f1', -- cursor
  '[null,"f1",null,null]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":1,"executionId":"acme:s:1"}}
{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"Yes."}}
{"seq":2,"type":"error","data":{"code":"upstream_failed","message":"no luck"}}
{"seq":3,"type":"session.run.failed","data":{"sessionId":"s","message":"no luck"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:2', -- run_id
  0, -- first_seq
  3, -- count
  1, -- epoch
  1, -- attempt
  'f1', -- cursor
  '[null,"f1",null]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":2,"executionId":"acme:s:2"}}
{"seq":1,"type":"message.part.updated","data":{"part":{"id":"p1","type":"text"},"delta":"Yes."}}
{"seq":2,"type":"session.run.completed","data":{"sessionId":"s"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:3', -- run_id
  0, -- first_seq
  5, -- count
  1, -- epoch
  1, -- attempt
  'f4', -- cursor
  '[null,"f1","f2","f3","f4"]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":3,"executionId":"acme:s:3"}}
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
  '"first"', -- content
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
  '"Yes."', -- content
  'complete', -- status
  NULL, -- retry_of
  2, -- rev
  1700000000102 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  1, -- turn_index
  0, -- position
  'user', -- role
  '"second"', -- content
  'complete', -- status
  NULL, -- retry_of
  1, -- rev
  1700000001000 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  1, -- turn_index
  1, -- position
  'assistant', -- role
  '"Yes."', -- content
  'failed', -- status
  NULL, -- retry_of
  2, -- rev
  1700000001022 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  2, -- turn_index
  0, -- position
  'user', -- role
  '"second"', -- content
  'complete', -- status
  1, -- retry_of
  1, -- rev
  1700000002000 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  2, -- turn_index
  1, -- position
  'assistant', -- role
  '"Yes."', -- content
  'complete', -- status
  NULL, -- retry_of
  2, -- rev
  1700000002022 -- created_at
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  3, -- turn_index
  0, -- position
  'user', -- role
  '"hello"', -- content
  'complete', -- status
  NULL, -- retry_of
  1, -- rev
  1700000022000 -- created_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:0', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'completed', -- status
  1, -- attempts
  '{"lines":3}', -- result
  NULL, -- error
  2, -- rev
  1700000000080, -- started_at
  1700000000102 -- completed_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:1', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'failed', -- status
  1, -- attempts
  NULL, -- result
  '{"status":"failed"}', -- error
  2, -- rev
  1700000001000, -- started_at
  1700000001022 -- completed_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:2', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'completed', -- status
  1, -- attempts
  '{"lines":3}', -- result
  NULL, -- error
  2, -- rev
  1700000002000, -- started_at
  1700000002022 -- completed_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at) VALUES (
  'acme:s:3', -- run_id
  0, -- step_index
  'turn', -- intent
  'llm', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  1, -- rev
  1700000022000, -- started_at
  NULL -- completed_at
);
