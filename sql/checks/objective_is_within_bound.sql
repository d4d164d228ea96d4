-- severity: fail
-- what: the objective recomputed from the rows is the one stated, and not above its proven bound
SELECT x.objective AS recomputed, r.objective, r.bound, r.gap
FROM routing_runs AS r
CROSS JOIN (
    SELECT
        (SELECT coalesce(sum(planned_quality), 0) FROM assignments WHERE run_id = :run_id)
        - (SELECT coalesce(sum(penalty), 0) FROM deferred_queries WHERE run_id = :run_id) AS objective
) AS x
WHERE r.run_id = :run_id
    AND (
        abs(x.objective - r.objective) > 1e-6 * (1 + abs(r.objective))
        OR r.objective > r.bound + 1e-9 * (1 + abs(r.bound))
        OR r.gap < 0 OR r.gap > 1
        OR r.objective IS NULL OR r.bound IS NULL OR r.gap IS NULL
    )
