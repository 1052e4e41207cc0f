-- `task:research`, suspended until its approval comes or its deadline passes.
-- now 1700000015000
-- alarm 1700000120106

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
  '63bb543c8be1c42693f8e64857304692fc2b72a52885c7d318b8fe9d745fcbb9', -- input_hash
  '{"upstream":"task:research","metadata":{"research":{"approvalMs":120000}}}', -- request
  '{"kind":"task","name":"research","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":0,"hash":"5948f0fd2167d8d4862323e95df4991ef6a74431dc0bb301982724e237b411fb"}}', -- upstream
  'suspended', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000100}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1,"suspendedAt":1700000000108}', -- handle
  NULL, -- outcome
  NULL, -- usage
  NULL, -- last_error
  18, -- line_count
  1700000120106, -- wake_at
  7, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'object', -- log_home
  1700000000100, -- created_at
  1700000000108, -- updated_at
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
  1, -- count
  1, -- epoch
  1, -- attempt
  's:1:1:step.started', -- cursor
  '["s:1:1:step.started"]', -- frame_ids
  '{"seq":1,"type":"step.started","data":{"step":"plan","kind":"logic","attempt":1}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  2, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  's:1:1:step.completed', -- cursor
  '["s:1:1:step.completed"]', -- frame_ids
  '{"seq":2,"type":"step.completed","data":{"step":"plan","kind":"logic","attempt":1}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  3, -- first_seq
  7, -- count
  1, -- epoch
  1, -- attempt
  's:1048578:1:step.started', -- cursor
  '["t:plan","t:call-0","s:1048576:1:step.started","t:call-1","s:1048577:1:step.started","t:call-2","s:1048578:1:step.started"]', -- frame_ids
  '{"seq":3,"type":"task.plan","data":{"calls":[{"tool":"calculator","input":"2 * (3 + 4)"},{"tool":"search","input":"the weather"},{"tool":"calculator","input":"10 / 4"}],"leftOut":0}}
{"seq":4,"type":"tool.call","data":{"arguments":"{\"input\":\"2 * (3 + 4)\"}","id":"call-0","name":"calculator"}}
{"seq":5,"type":"step.started","data":{"step":"calculator:0","kind":"tool","attempt":1}}
{"seq":6,"type":"tool.call","data":{"arguments":"{\"input\":\"the weather\"}","id":"call-1","name":"search"}}
{"seq":7,"type":"step.started","data":{"step":"search:1","kind":"tool","attempt":1}}
{"seq":8,"type":"tool.call","data":{"arguments":"{\"input\":\"10 / 4\"}","id":"call-2","name":"calculator"}}
{"seq":9,"type":"step.started","data":{"step":"calculator:2","kind":"tool","attempt":1}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  10, -- first_seq
  3, -- count
  1, -- epoch
  1, -- attempt
  's:1048578:1:step.completed', -- cursor
  '["s:1048576:1:step.completed","s:1048577:1:step.completed","s:1048578:1:step.completed"]', -- frame_ids
  '{"seq":10,"type":"step.completed","data":{"step":"calculator:0","kind":"tool","attempt":1}}
{"seq":11,"type":"step.completed","data":{"step":"search:1","kind":"tool","attempt":1}}
{"seq":12,"type":"step.completed","data":{"step":"calculator:2","kind":"tool","attempt":1}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  13, -- first_seq
  4, -- count
  1, -- epoch
  1, -- attempt
  't:approval', -- cursor
  '["t:result-0","t:result-1","t:result-2","t:approval"]', -- frame_ids
  '{"seq":13,"type":"tool.result","data":{"id":"call-0","name":"calculator","output":"2 * (3 + 4) = 14"}}
{"seq":14,"type":"tool.result","data":{"id":"call-1","name":"search","output":"nothing in this session about \"the weather\""}}
{"seq":15,"type":"tool.result","data":{"id":"call-2","name":"calculator","output":"10 / 4 = 2.5"}}
{"seq":16,"type":"approval.requested","data":{"findings":3,"key":"approval"}}
' -- lines
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  17, -- first_seq
  1, -- count
  1, -- epoch
  1, -- attempt
  't:approval', -- cursor
  '["w:2:suspended"]', -- frame_ids
  '{"seq":17,"type":"session.run.suspended","data":{"key":"approval","deadline":1700000120106}}
' -- lines
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  0, -- position
  'user', -- role
  '"What is 2 * (3 + 4)? the weather; 10 / 4"', -- content
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
  'plan', -- intent
  'logic', -- kind
  'completed', -- status
  1, -- attempts
  '{"calls":[{"tool":"calculator","input":"2 * (3 + 4)"},{"tool":"search","input":"the weather"},{"tool":"calculator","input":"10 / 4"}],"leftOut":0}', -- result
  NULL, -- error
  3, -- rev
  1700000000102, -- started_at
  1700000000104, -- completed_at
  '{"inputHash":"61fabfa75f380fc67bc94185c649b42235ea00f6fd00733176de4684b58eaf73"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  2, -- step_index
  'event:approval', -- intent
  'event', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  6, -- rev
  1700000000106, -- started_at
  NULL, -- completed_at
  '{"deadline":1700000120106}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048576, -- step_index
  'calculator:0', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '"2 * (3 + 4) = 14"', -- result
  NULL, -- error
  5, -- rev
  1700000000104, -- started_at
  1700000000106, -- completed_at
  '{"name":"calculator:0","inputHash":"bceac0da91ad258abdc3a18690a481403d6dd3876c458bc52956455d85c92844"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048577, -- step_index
  'search:1', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '"nothing in this session about \"the weather\""', -- result
  NULL, -- error
  5, -- rev
  1700000000104, -- started_at
  1700000000106, -- completed_at
  '{"name":"search:1","inputHash":"78b2cd9ae4ec8472e8df973ad27bbc24462dee96ebd9bacf2c621fff1f6faa73"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048578, -- step_index
  'calculator:2', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '"10 / 4 = 2.5"', -- result
  NULL, -- error
  5, -- rev
  1700000000104, -- started_at
  1700000000106, -- completed_at
  '{"name":"calculator:2","inputHash":"a7071429cef8a5c8baa29cd94e9df656d7bd3ee9403b504b998e16598e3d3fc8"}' -- detail
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
  '63bb543c8be1c42693f8e64857304692fc2b72a52885c7d318b8fe9d745fcbb9', -- input_hash
  '{"upstream":"task:research","metadata":{"research":{"approvalMs":120000}}}', -- request
  '{"kind":"task","name":"research","model":"small","turn":{"upstreamIdleMs":7000,"upstreamAttempts":2,"upstreamStarts":3,"turnTimeoutMs":1800000,"turnMaxBytes":16777216,"historyMessages":10,"historyBytes":131072},"history":{"messages":0,"hash":"5948f0fd2167d8d4862323e95df4991ef6a74431dc0bb301982724e237b411fb"}}', -- upstream
  'suspended', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000100}]', -- attempts
  1, -- epoch
  NULL, -- lease_holder
  NULL, -- lease_until
  '{"executionId":"acme:s:0","attempt":1,"suspendedAt":1700000000108}', -- handle
  NULL, -- outcome
  NULL, -- usage
  NULL, -- last_error
  18, -- line_count
  1700000120106, -- wake_at
  7, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'd1', -- log_home
  1700000000100, -- created_at
  1700000000108, -- updated_at
  NULL -- finished_at
);
INSERT INTO stream_log (run_id, first_seq, count, epoch, attempt, cursor, frame_ids, lines) VALUES (
  'acme:s:0', -- run_id
  0, -- first_seq
  18, -- count
  1, -- epoch
  1, -- attempt
  't:approval', -- cursor
  '[null,"s:1:1:step.started","s:1:1:step.completed","t:plan","t:call-0","s:1048576:1:step.started","t:call-1","s:1048577:1:step.started","t:call-2","s:1048578:1:step.started","s:1048576:1:step.completed","s:1048577:1:step.completed","s:1048578:1:step.completed","t:result-0","t:result-1","t:result-2","t:approval","w:2:suspended"]', -- frame_ids
  '{"seq":0,"type":"session.run.started","data":{"sessionId":"s","tenantId":"acme","turnIndex":0,"executionId":"acme:s:0"}}
{"seq":1,"type":"step.started","data":{"step":"plan","kind":"logic","attempt":1}}
{"seq":2,"type":"step.completed","data":{"step":"plan","kind":"logic","attempt":1}}
{"seq":3,"type":"task.plan","data":{"calls":[{"tool":"calculator","input":"2 * (3 + 4)"},{"tool":"search","input":"the weather"},{"tool":"calculator","input":"10 / 4"}],"leftOut":0}}
{"seq":4,"type":"tool.call","data":{"arguments":"{\"input\":\"2 * (3 + 4)\"}","id":"call-0","name":"calculator"}}
{"seq":5,"type":"step.started","data":{"step":"calculator:0","kind":"tool","attempt":1}}
{"seq":6,"type":"tool.call","data":{"arguments":"{\"input\":\"the weather\"}","id":"call-1","name":"search"}}
{"seq":7,"type":"step.started","data":{"step":"search:1","kind":"tool","attempt":1}}
{"seq":8,"type":"tool.call","data":{"arguments":"{\"input\":\"10 / 4\"}","id":"call-2","name":"calculator"}}
{"seq":9,"type":"step.started","data":{"step":"calculator:2","kind":"tool","attempt":1}}
{"seq":10,"type":"step.completed","data":{"step":"calculator:0","kind":"tool","attempt":1}}
{"seq":11,"type":"step.completed","data":{"step":"search:1","kind":"tool","attempt":1}}
{"seq":12,"type":"step.completed","data":{"step":"calculator:2","kind":"tool","attempt":1}}
{"seq":13,"type":"tool.result","data":{"id":"call-0","name":"calculator","output":"2 * (3 + 4) = 14"}}
{"seq":14,"type":"tool.result","data":{"id":"call-1","name":"search","output":"nothing in this session about \"the weather\""}}
{"seq":15,"type":"tool.result","data":{"id":"call-2","name":"calculator","output":"10 / 4 = 2.5"}}
{"seq":16,"type":"approval.requested","data":{"findings":3,"key":"approval"}}
{"seq":17,"type":"session.run.suspended","data":{"key":"approval","deadline":1700000120106}}
' -- lines
);
INSERT INTO messages (session_key, turn_index, position, role, content, status, retry_of, rev, created_at) VALUES (
  'acme:s', -- session_key
  0, -- turn_index
  0, -- position
  'user', -- role
  '"What is 2 * (3 + 4)? the weather; 10 / 4"', -- content
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
  'plan', -- intent
  'logic', -- kind
  'completed', -- status
  1, -- attempts
  '{"calls":[{"tool":"calculator","input":"2 * (3 + 4)"},{"tool":"search","input":"the weather"},{"tool":"calculator","input":"10 / 4"}],"leftOut":0}', -- result
  NULL, -- error
  3, -- rev
  1700000000102, -- started_at
  1700000000104, -- completed_at
  '{"inputHash":"61fabfa75f380fc67bc94185c649b42235ea00f6fd00733176de4684b58eaf73"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  2, -- step_index
  'event:approval', -- intent
  'event', -- kind
  'running', -- status
  1, -- attempts
  NULL, -- result
  NULL, -- error
  6, -- rev
  1700000000106, -- started_at
  NULL, -- completed_at
  '{"deadline":1700000120106}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048576, -- step_index
  'calculator:0', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '"2 * (3 + 4) = 14"', -- result
  NULL, -- error
  5, -- rev
  1700000000104, -- started_at
  1700000000106, -- completed_at
  '{"name":"calculator:0","inputHash":"bceac0da91ad258abdc3a18690a481403d6dd3876c458bc52956455d85c92844"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048577, -- step_index
  'search:1', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '"nothing in this session about \"the weather\""', -- result
  NULL, -- error
  5, -- rev
  1700000000104, -- started_at
  1700000000106, -- completed_at
  '{"name":"search:1","inputHash":"78b2cd9ae4ec8472e8df973ad27bbc24462dee96ebd9bacf2c621fff1f6faa73"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'acme:s:0', -- run_id
  1048578, -- step_index
  'calculator:2', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '"10 / 4 = 2.5"', -- result
  NULL, -- error
  5, -- rev
  1700000000104, -- started_at
  1700000000106, -- completed_at
  '{"name":"calculator:2","inputHash":"a7071429cef8a5c8baa29cd94e9df656d7bd3ee9403b504b998e16598e3d3fc8"}' -- detail
);
