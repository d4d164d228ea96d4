-- Which rows of the backlog could not be routed, and what is wrong with them?
-- Grain: one row per rejected row of the night, in the order of the files.
-- Parameters: dt (date)
SELECT j.first_dt, j.partition, j.row, j.query_id, j.reason, j.detail
FROM nights AS n
INNER JOIN rejected_queries AS j ON n.run_id = j.run_id
WHERE n.dt = :dt
ORDER BY j.first_dt, j.partition, j.row
