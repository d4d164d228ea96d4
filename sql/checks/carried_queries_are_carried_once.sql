-- severity: fail
-- what: the nights whose deferred queries were taken up are still as they were, and nobody else took them up
SELECT p.run_id AS taken_up_from, p.dt AS of_night, p.status, o.dt AS also_taken_up_by
FROM routing_runs AS r
INNER JOIN run_sources AS s ON r.run_id = s.run_id AND s.queries > 0
INNER JOIN routing_runs AS p ON s.source_run_id = p.run_id
LEFT JOIN run_sources AS t ON s.source_run_id = t.source_run_id AND t.queries > 0 AND t.run_id <> r.run_id
LEFT JOIN routing_runs AS o
    ON t.run_id = o.run_id AND o.status = 'current' AND o.dt <> r.dt
    -- One that was known when this run was opened keeps what it took, and one that follows this night is planned again.
    AND NOT EXISTS (SELECT 1 FROM run_sources AS k WHERE k.run_id = r.run_id AND k.source_run_id = o.run_id)
    AND NOT EXISTS (
        SELECT 1
        FROM run_sources AS f
        INNER JOIN routing_runs AS d ON f.source_run_id = d.run_id AND d.dt = r.dt
        WHERE f.run_id = o.run_id
    )
WHERE r.run_id = :run_id
    AND r.base_run_id IS NULL
    AND NOT r.shadow
    AND (p.status <> 'current' OR o.run_id IS NOT NULL)
