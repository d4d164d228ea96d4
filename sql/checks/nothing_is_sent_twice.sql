-- severity: warn
-- what: no query is given away here that a night handed out has sent or taken up; such a run can only be a shadow
SELECT a.query_id, a.first_dt, s.dt AS also_decided_with, s.run_id AS its_run
FROM routing_runs AS r
INNER JOIN routing_runs AS s ON r.dt < s.dt AND s.status = 'current' AND s.sealed_at IS NOT NULL AND s.carried_rows > 0
INNER JOIN assignments AS b ON s.run_id = b.run_id AND r.dt >= b.first_dt
INNER JOIN assignments AS a ON r.run_id = a.run_id AND b.query_id = a.query_id AND b.first_dt = a.first_dt
WHERE r.run_id = :run_id AND NOT r.shadow
UNION ALL
SELECT a.query_id, a.first_dt, s.dt AS also_decided_with, s.run_id AS its_run
FROM routing_runs AS r
INNER JOIN routing_runs AS s ON r.dt < s.dt AND s.status = 'current' AND s.sealed_at IS NOT NULL AND s.carried_rows > 0
INNER JOIN deferred_queries AS b ON s.run_id = b.run_id AND r.dt >= b.first_dt
INNER JOIN assignments AS a ON r.run_id = a.run_id AND b.query_id = a.query_id AND b.first_dt = a.first_dt
WHERE r.run_id = :run_id AND NOT r.shadow
UNION ALL
SELECT a.query_id, a.first_dt, s.dt AS also_decided_with, s.run_id AS its_run
FROM routing_runs AS r
INNER JOIN routing_runs AS s ON r.dt < s.dt AND s.status = 'current' AND s.sealed_at IS NOT NULL AND s.carried_rows > 0
INNER JOIN rejected_queries AS b ON s.run_id = b.run_id AND r.dt >= b.first_dt
INNER JOIN assignments AS a ON r.run_id = a.run_id AND b.query_id = a.query_id AND b.first_dt = a.first_dt
WHERE r.run_id = :run_id AND NOT r.shadow
UNION ALL
SELECT a.query_id, a.first_dt, s.dt AS also_decided_with, s.run_id AS its_run
FROM routing_runs AS r
INNER JOIN routing_runs AS s ON r.dt > s.dt AND s.status = 'current' AND s.sealed_at IS NOT NULL AND r.carried_rows > 0
INNER JOIN assignments AS a ON r.run_id = a.run_id AND s.dt >= a.first_dt
INNER JOIN assignments AS b ON s.run_id = b.run_id AND a.query_id = b.query_id AND a.first_dt = b.first_dt
WHERE r.run_id = :run_id AND NOT r.shadow
