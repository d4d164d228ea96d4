-- severity: warn
-- what: no query is given away here that a night handed out has sent or taken up; such a run can only be a shadow
SELECT a.query_id, a.first_dt, s.dt AS also_decided_with, s.run_id AS its_run
FROM routing_runs AS r
CROSS JOIN routing_runs AS s
CROSS JOIN assignments AS b
INNER JOIN assignments AS a ON r.run_id = a.run_id AND b.query_id = a.query_id AND b.first_dt = a.first_dt
WHERE r.run_id = :run_id AND NOT r.shadow
    AND r.dt < s.dt AND s.status = 'current' AND s.carried_rows > 0
    AND EXISTS (SELECT 1 FROM run_inputs AS i WHERE i.run_id = s.run_id AND i.source = 'carried' AND i.partition_dt <= r.dt)
    AND EXISTS (
        SELECT 1 FROM routing_runs AS z
        WHERE z.dt = s.dt
            AND (z.sealed_at IS NOT NULL OR (z.status IN ('current', 'superseded') AND z.sent_through_batch > 0))
    )
    AND s.run_id = b.run_id AND r.dt >= b.first_dt
UNION ALL
SELECT a.query_id, a.first_dt, s.dt AS also_decided_with, s.run_id AS its_run
FROM routing_runs AS r
CROSS JOIN routing_runs AS s
CROSS JOIN deferred_queries AS b
INNER JOIN assignments AS a ON r.run_id = a.run_id AND b.query_id = a.query_id AND b.first_dt = a.first_dt
WHERE r.run_id = :run_id AND NOT r.shadow
    AND r.dt < s.dt AND s.status = 'current' AND s.carried_rows > 0
    AND EXISTS (SELECT 1 FROM run_inputs AS i WHERE i.run_id = s.run_id AND i.source = 'carried' AND i.partition_dt <= r.dt)
    AND EXISTS (
        SELECT 1 FROM routing_runs AS z
        WHERE z.dt = s.dt
            AND (z.sealed_at IS NOT NULL OR (z.status IN ('current', 'superseded') AND z.sent_through_batch > 0))
    )
    AND s.run_id = b.run_id AND r.dt >= b.first_dt
UNION ALL
SELECT a.query_id, a.first_dt, s.dt AS also_decided_with, s.run_id AS its_run
FROM routing_runs AS r
CROSS JOIN routing_runs AS s
CROSS JOIN rejected_queries AS b
INNER JOIN assignments AS a ON r.run_id = a.run_id AND b.query_id = a.query_id AND b.first_dt = a.first_dt
WHERE r.run_id = :run_id AND NOT r.shadow
    AND r.dt < s.dt AND s.status = 'current' AND s.carried_rows > 0
    AND EXISTS (SELECT 1 FROM run_inputs AS i WHERE i.run_id = s.run_id AND i.source = 'carried' AND i.partition_dt <= r.dt)
    AND EXISTS (
        SELECT 1 FROM routing_runs AS z
        WHERE z.dt = s.dt
            AND (z.sealed_at IS NOT NULL OR (z.status IN ('current', 'superseded') AND z.sent_through_batch > 0))
    )
    AND s.run_id = b.run_id AND r.dt >= b.first_dt
UNION ALL
SELECT a.query_id, a.first_dt, s.dt AS also_decided_with, s.run_id AS its_run
FROM routing_runs AS r
INNER JOIN assignments AS a ON r.run_id = a.run_id AND r.dt > a.first_dt
INNER JOIN assignments AS b ON a.query_id = b.query_id AND a.first_dt = b.first_dt AND b.dt < r.dt
INNER JOIN routing_runs AS s ON b.run_id = s.run_id AND s.status = 'current'
WHERE r.run_id = :run_id AND NOT r.shadow AND r.carried_rows > 0
    AND EXISTS (
        SELECT 1 FROM routing_runs AS z
        WHERE z.dt = s.dt
            AND (z.sealed_at IS NOT NULL OR (z.status IN ('current', 'superseded') AND z.sent_through_batch > 0))
    )
