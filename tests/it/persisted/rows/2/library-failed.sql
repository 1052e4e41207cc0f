-- A durable run of the library that failed at its last step.
-- now 1700000007000

-- @d1
INSERT INTO schema_info (version, applied_at) VALUES (
  1, -- version
  1700000000000 -- applied_at
);
INSERT INTO schema_info (version, applied_at) VALUES (
  2, -- version
  1700000000000 -- applied_at
);
INSERT INTO runs (run_id, tenant, session, turn_index, user, idempotency_key, input_hash, request, upstream, status, attempts, epoch, lease_holder, lease_until, handle, outcome, usage, last_error, line_count, wake_at, rev, cancel, upstream_cancel, log_home, created_at, updated_at, finished_at) VALUES (
  'ship-order:42', -- run_id
  '', -- tenant
  'november', -- session
  0, -- turn_index
  NULL, -- user
  NULL, -- idempotency_key
  'cdd1516010eb366dee62d0a0e02175de0adf64b5f71543dfb39aacbe538b2778', -- input_hash
  '{"projectId":"shop","scenarioId":"november","task":{"id":"ship-order","intent":"Ship an order.","domain":"orders"},"input":{"order":42},"tags":{"tenant_id":"acme"}}', -- request
  '{}', -- upstream
  'failed', -- status
  '[{"number":1,"reason":"submitted","startedAt":1700000000000}]', -- attempts
  1, -- epoch
  '7c1f0a52d3b84e9690fd6b2a4e8c3d17', -- lease_holder
  1700000030000, -- lease_until
  '{"executionId":"ship-order:42","attempt":1,"waitedMs":1840}', -- handle
  '{"textUnits":0}', -- outcome
  NULL, -- usage
  '{"code":"busy","message":"the step `ship` failed with `busy`: no truck","at":1700000002260}', -- last_error
  0, -- line_count
  NULL, -- wake_at
  16, -- rev
  NULL, -- cancel
  NULL, -- upstream_cancel
  'd1', -- log_home
  1700000000000, -- created_at
  1700000002260, -- updated_at
  1700000002260 -- finished_at
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'ship-order:42', -- run_id
  0, -- step_index
  'deterministic:now', -- intent
  'deterministic', -- kind
  'completed', -- status
  1, -- attempts
  '1700000000060', -- result
  NULL, -- error
  2, -- rev
  1700000000060, -- started_at
  1700000000060, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'ship-order:42', -- run_id
  1, -- step_index
  'deterministic:uuid', -- intent
  'deterministic', -- kind
  'completed', -- status
  1, -- attempts
  '"5b0e4d7a-91c3-4f26-8a1d-c0de37f9b264"', -- result
  NULL, -- error
  3, -- rev
  1700000000080, -- started_at
  1700000000080, -- completed_at
  NULL -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'ship-order:42', -- run_id
  2, -- step_index
  'charge', -- intent
  'tool', -- kind
  'completed', -- status
  1, -- attempts
  '"ship-order:42/#2"', -- result
  NULL, -- error
  5, -- rev
  1700000000100, -- started_at
  1700000000120, -- completed_at
  '{"inputHash":"a816b8e344ad5167a30def58ef04806b6e51c8bb7a0adfbdaad658fe329cc8ac","workspace":"ship-order:42:1:pause:#2"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'ship-order:42', -- run_id
  3, -- step_index
  'event:approval', -- intent
  'event', -- kind
  'completed', -- status
  1, -- attempts
  'true', -- result
  NULL, -- error
  11, -- rev
  1700000000180, -- started_at
  1700000002080, -- completed_at
  '{"deadline":1700000060180}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'ship-order:42', -- run_id
  4, -- step_index
  'ship', -- intent
  'logic', -- kind
  'failed', -- status
  2, -- attempts
  NULL, -- result
  '{"code":"busy","message":"no truck"}', -- error
  15, -- rev
  1700000002100, -- started_at
  1700000002240, -- completed_at
  '{"failures":[{"attempt":1,"runAttempt":1,"code":"busy","message":"no truck","at":1700000002120,"retryAt":1700000002220},{"attempt":2,"runAttempt":1,"code":"busy","message":"no truck","at":1700000002240}]}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'ship-order:42', -- run_id
  1048576, -- step_index
  'a', -- intent
  'logic', -- kind
  'completed', -- status
  1, -- attempts
  '1', -- result
  NULL, -- error
  7, -- rev
  1700000000140, -- started_at
  1700000000160, -- completed_at
  '{"name":"a","workspace":"ship-order:42:1:pause:a"}' -- detail
);
INSERT INTO steps (run_id, step_index, intent, kind, status, attempts, result, error, rev, started_at, completed_at, detail) VALUES (
  'ship-order:42', -- run_id
  1048577, -- step_index
  'b', -- intent
  'logic', -- kind
  'completed', -- status
  1, -- attempts
  '1', -- result
  NULL, -- error
  7, -- rev
  1700000000140, -- started_at
  1700000000160, -- completed_at
  '{"name":"b","workspace":"ship-order:42:1:pause:b"}' -- detail
);
INSERT INTO events (run_id, key, payload, rev, emitted_at) VALUES (
  'ship-order:42', -- run_id
  'approval', -- key
  'true', -- payload
  10, -- rev
  1700000002000 -- emitted_at
);
