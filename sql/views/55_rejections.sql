-- One row per night, file and reason: backlog rows that could not be routed.
CREATE VIEW rejections AS
SELECT r.dt, r.run_id, j.first_dt, j.partition, j.reason, count(*) AS queries
FROM routing_runs AS r
INNER JOIN rejected_queries AS j ON r.run_id = j.run_id
WHERE r.status = 'current'
GROUP BY r.dt, r.run_id, j.first_dt, j.partition, j.reason
