-- severity: warn
-- what: no later night has already taken up what another run of this date deferred; plan that night again if one has
SELECT o.dt AS later_night, o.run_id AS its_run, p.run_id AS taken_up_from
FROM routing_runs AS r
INNER JOIN routing_runs AS p ON r.dt = p.dt AND r.run_id <> p.run_id
INNER JOIN run_sources AS s ON p.run_id = s.source_run_id AND s.queries > 0
INNER JOIN routing_runs AS o ON s.run_id = o.run_id AND o.status = 'current'
WHERE r.run_id = :run_id
