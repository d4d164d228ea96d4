-- severity: warn
-- what: no more than half of the routable queries are left to the next night
SELECT assigned, deferred
FROM routing_runs
WHERE run_id = :run_id AND deferred > assigned
