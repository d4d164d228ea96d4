-- severity: fail
-- what: the night whose deferred queries were taken up is still the current one, and nobody else took them up
SELECT r.carried_from_run_id, p.dt AS carried_from, p.status, o.dt AS also_taken_up_by
FROM routing_runs AS r
INNER JOIN routing_runs AS p ON r.carried_from_run_id = p.run_id
LEFT JOIN routing_runs AS o
    ON r.carried_from_run_id = o.carried_from_run_id AND o.status = 'current' AND o.carried_rows > 0 AND o.dt <> r.dt
WHERE r.run_id = :run_id
    AND r.carried_rows > 0
    AND r.base_run_id IS NULL
    AND NOT r.shadow
    AND (p.status <> 'current' OR o.run_id IS NOT NULL)
