-- A task that was approved and is suspended until a time.
-- now 1700000007150
-- alarm 1700000021164

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
  'suspended', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000100}]', -- attempts
  2, -- epoch
  '3ea85c90f1274bd6a90be47d15c2f086', -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1,"suspendedAt":1700000001166,"waitedMs":926}', -- handle
  NULL, -- outcome
  NULL, -- usage
  NULL, -- last_error
  22, -- line_count
  1700000021164, -- wake_at
  19, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'object', -- log_home
  1700000000100, -- created_at
  1700000001166, -- updated_at
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
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  8, -- first_seq
  3, -- count
  1, -- epoch
  1, -- attempt
  's:1048578:1:step.completed', -- cursor
  '["s:1048576:1:step.completed","s:1048577:1:step.failed","s:1048578:1:step.completed"]', -- frame_ids
  '{"seq":8,"type":"step.completed","data":{"step":"branch:a","kind":"tool","attempt":1}}
{"seq":9,"type":"step.failed","data":{"step":"branch:b","kind":"tool","attempt":1,"code":"busy","retryAt":1700000000218}}
{"seq":10,"type":"step.completed","data":{"step":"branch:c","kind":"tool","attempt":1}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  11, -- first_seq
  2, -- count
  1, -- epoch
  1, -- attempt
  't:did-c', -- cursor
  '["t:did-a","t:did-c"]', -- frame_ids
  '{"seq":11,"type":"errand.did","data":{"step":"a"}}
{"seq":12,"type":"errand.did","data":{"step":"c"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  13, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  's:1048577:2:step.started', -- cursor
  '["s:1048577:2:step.started"]', -- frame_ids
  '{"seq":13,"type":"step.started","data":{"step":"branch:b","kind":"tool","attempt":2}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  14, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  's:1048577:2:step.completed', -- cursor
  '["s:1048577:2:step.completed"]', -- frame_ids
  '{"seq":14,"type":"step.completed","data":{"step":"branch:b","kind":"tool","attempt":2}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  15, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  't:did-b', -- cursor
  '["t:did-b"]', -- frame_ids
  '{"seq":15,"type":"errand.did","data":{"step":"b"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  16, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  't:did-b', -- cursor
  '["w:4:suspended"]', -- frame_ids
  '{"seq":16,"type":"session.run.suspended","data":{"key":"approval","deadline":1700000090226}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  17, -- first_seq
  1, -- count
  2, -- epoch
  1, -- attempt
  't:did-b', -- cursor
  '["w:4:awakened"]', -- frame_ids
  '{"seq":17,"type":"session.run.awakened","data":{"key":"approval"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  18, -- first_seq
  1, -- count
  2, -- epoch
  1, -- attempt
  's:5:1:step.started', -- cursor
  '["s:5:1:step.started"]', -- frame_ids
  '{"seq":18,"type":"step.started","data":{"step":"second","kind":"logic","attempt":1}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  19, -- first_seq
  1, -- count
  2, -- epoch
  1, -- attempt
  's:5:1:step.completed', -- cursor
  '["s:5:1:step.completed"]', -- frame_ids
  '{"seq":19,"type":"step.completed","data":{"step":"second","kind":"logic","attempt":1}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  20, -- first_seq
  1, -- count
  2, -- epoch
  1, -- attempt
  't:did-second', -- cursor
  '["t:did-second"]', -- frame_ids
  '{"seq":20,"type":"errand.did","data":{"attempt":1,"step":"second"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  21, -- first_seq
  1, -- count
  2, -- epoch
  1, -- attempt
  't:did-second', -- cursor
  '["w:7:suspended"]', -- frame_ids
  '{"seq":21,"type":"session.run.suspended","data":{"key":"sleep:7","deadline":1700000021164}}
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
  'task', -- kind
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
  4, -- step_index
  'event:approval', -- intent
  'event', -- kind
  'completed', -- status
  1, -- attempts
  'true', -- result
  NULL, -- error
  14, -- rev
  1700000000226, -- started_at
  1700000001154, -- completed_at
  '{"deadline":1700000090226}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  5, -- step_index
  'second', -- intent
  'logic', -- kind
  'completed', -- status
  1, -- attempts
  '1', -- result
  NULL, -- error
  16, -- rev
  1700000001156, -- started_at
  1700000001164, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  6, -- step_index
  'deterministic:now', -- intent
  'deterministic', -- kind
  'completed', -- status
  1, -- attempts
  '1700000001164', -- result
  NULL, -- error
  17, -- rev
  1700000001164, -- started_at
  1700000001164, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  7, -- step_index
  'sleep', -- intent
  'deterministic', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  18, -- rev
  1700000001164, -- started_at
  NULL, -- completed_at
  '{"deadline":1700000021164}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048576, -- step_index
  'branch:a', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '1', -- result
  NULL, -- error
  7, -- rev
  1700000000110, -- started_at
  1700000000118, -- completed_at
  '{"name":"branch:a","inputHash":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048577, -- step_index
  'branch:b', -- intent
  'tool', -- kind
  'completed', -- status
  2, -- attempts
  '1', -- result
  NULL, -- error
  9, -- rev
  1700000000110, -- started_at
  1700000000226, -- completed_at
  '{"name":"branch:b","inputHash":"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b","failures":[{"attempt":1,"runAttempt":1,"code":"busy","message":"try again","at":1700000000118,"retryAt":1700000000218}]}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048578, -- step_index
  'branch:c', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '1', -- result
  NULL, -- error
  7, -- rev
  1700000000110, -- started_at
  1700000000118, -- completed_at
  '{"name":"branch:c","inputHash":"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"}' -- detail
);
INSERT INTO events (run_id, key, payload, rev, emitted_at) VALUES (
  'acme:s:0', -- run_id
  'approval', -- key
  'true', -- payload
  12, -- rev
  1700000001150 -- emitted_at
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
  'b4f4d32b00a81be946e83cd89882a069040a9682a50cf8057f1c939820b9fa1b', -- input_hash
  '{"upstream":"task:errand"}', -- request
  '{"kind":"task","name":"errand","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":0,"hash":"5948f0fd2167d8d4862323e95df4991ef6a74431dc0bb301982724e237b411fb"}}', -- upstream
  'suspended', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000100}]', -- attempts
  2, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1,"suspendedAt":1700000001166,"waitedMs":926}', -- handle
  NULL, -- outcome
  NULL, -- usage
  NULL, -- last_error
  22, -- line_count
  1700000021164, -- wake_at
  19, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'd1', -- log_home
  1700000000100, -- created_at
  1700000001166, -- updated_at
  NULL -- finished_at
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  0, -- first_seq
  17, -- count
  1, -- epoch
  1, -- attempt
  't:did-b', -- cursor
  '[null,"t:began","s:3:1:step.started","s:3:1:step.completed","t:did-first","s:1048576:1:step.started","s:1048577:1:step.started","s:1048578:1:step.started","s:1048576:1:step.completed","s:1048577:1:step.failed","s:1048578:1:step.completed","t:did-a","t:did-c","s:1048577:2:step.started","s:1048577:2:step.completed","t:did-b","w:4:suspended"]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":0,"executionId":"acme:s:0"}}
{"seq":1,"type":"errand.began","data":{"at":1700000000102,"id":"5b0e4d7a-91c3-4f26-8a1d-c0de37f9b264"}}
{"seq":2,"type":"step.started","data":{"step":"first","kind":"logic","attempt":1}}
{"seq":3,"type":"step.completed","data":{"step":"first","kind":"logic","attempt":1}}
{"seq":4,"type":"errand.did","data":{"attempt":1,"step":"first"}}
{"seq":5,"type":"step.started","data":{"step":"branch:a","kind":"tool","attempt":1}}
{"seq":6,"type":"step.started","data":{"step":"branch:b","kind":"tool","attempt":1}}
{"seq":7,"type":"step.started","data":{"step":"branch:c","kind":"tool","attempt":1}}
{"seq":8,"type":"step.completed","data":{"step":"branch:a","kind":"tool","attempt":1}}
{"seq":9,"type":"step.failed","data":{"step":"branch:b","kind":"tool","attempt":1,"code":"busy","retryAt":1700000000218}}
{"seq":10,"type":"step.completed","data":{"step":"branch:c","kind":"tool","attempt":1}}
{"seq":11,"type":"errand.did","data":{"step":"a"}}
{"seq":12,"type":"errand.did","data":{"step":"c"}}
{"seq":13,"type":"step.started","data":{"step":"branch:b","kind":"tool","attempt":2}}
{"seq":14,"type":"step.completed","data":{"step":"branch:b","kind":"tool","attempt":2}}
{"seq":15,"type":"errand.did","data":{"step":"b"}}
{"seq":16,"type":"session.run.suspended","data":{"key":"approval","deadline":1700000090226}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  17, -- first_seq
  1, -- count
  2, -- epoch
  1, -- attempt
  't:did-b', -- cursor
  '["w:4:awakened"]', -- frame_ids
  '{"seq":17,"type":"session.run.awakened","data":{"key":"approval"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  18, -- first_seq
  4, -- count
  2, -- epoch
  1, -- attempt
  't:did-second', -- cursor
  '["s:5:1:step.started","s:5:1:step.completed","t:did-second","w:7:suspended"]', -- frame_ids
  '{"seq":18,"type":"step.started","data":{"step":"second","kind":"logic","attempt":1}}
{"seq":19,"type":"step.completed","data":{"step":"second","kind":"logic","attempt":1}}
{"seq":20,"type":"errand.did","data":{"attempt":1,"step":"second"}}
{"seq":21,"type":"session.run.suspended","data":{"key":"sleep:7","deadline":1700000021164}}
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
  'task', -- kind
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
  4, -- step_index
  'event:approval', -- intent
  'event', -- kind
  'completed', -- status
  1, -- attempts
  'true', -- result
  NULL, -- error
  14, -- rev
  1700000000226, -- started_at
  1700000001154, -- completed_at
  '{"deadline":1700000090226}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  5, -- step_index
  'second', -- intent
  'logic', -- kind
  'completed', -- status
  1, -- attempts
  '1', -- result
  NULL, -- error
  16, -- rev
  1700000001156, -- started_at
  1700000001164, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  6, -- step_index
  'deterministic:now', -- intent
  'deterministic', -- kind
  'completed', -- status
  1, -- attempts
  '1700000001164', -- result
  NULL, -- error
  17, -- rev
  1700000001164, -- started_at
  1700000001164, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  7, -- step_index
  'sleep', -- intent
  'deterministic', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  18, -- rev
  1700000001164, -- started_at
  NULL, -- completed_at
  '{"deadline":1700000021164}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048576, -- step_index
  'branch:a', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '1', -- result
  NULL, -- error
  7, -- rev
  1700000000110, -- started_at
  1700000000118, -- completed_at
  '{"name":"branch:a","inputHash":"5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048577, -- step_index
  'branch:b', -- intent
  'tool', -- kind
  'completed', -- status
  2, -- attempts
  '1', -- result
  NULL, -- error
  9, -- rev
  1700000000110, -- started_at
  1700000000226, -- completed_at
  '{"name":"branch:b","inputHash":"6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b","failures":[{"attempt":1,"runAttempt":1,"code":"busy","message":"try again","at":1700000000118,"retryAt":1700000000218}]}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048578, -- step_index
  'branch:c', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '1', -- result
  NULL, -- error
  7, -- rev
  1700000000110, -- started_at
  1700000000118, -- completed_at
  '{"name":"branch:c","inputHash":"d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"}' -- detail
);
INSERT INTO events (run_id, key, payload, rev, emitted_at) VALUES (
  'acme:s:0', -- run_id
  'approval', -- key
  'true', -- payload
  12, -- rev
  1700000001150 -- emitted_at
);
