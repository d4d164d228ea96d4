-- One row per night, cause and task family: queries left to the next night.
CREATE VIEW deferrals AS
SELECT
    r.dt, r.run_id, d.cause, d.task,
    count(*) AS queries,
    sum(d.penalty) AS penalty,
    max(d.nights_waited) AS most_nights_waited,
    min(d.deadline) AS earliest_deadline
FROM routing_runs AS r
INNER JOIN deferred_queries AS d ON r.run_id = d.run_id
WHERE r.status = 'current'
GROUP BY r.dt, r.run_id, d.cause, d.task
