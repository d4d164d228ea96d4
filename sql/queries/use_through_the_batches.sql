-- How full is each model, batch by batch?
-- Grain: one row per batch and model that has a query in it; the share is null where there is no limit.
-- Parameters: dt (date)
SELECT
    b.batch_no, b.model, b.assigned, m.capacity_per_batch,
    CASE WHEN m.capacity_per_batch > 0 THEN CAST(b.assigned AS DOUBLE PRECISION) / m.capacity_per_batch END AS share_used
FROM nights AS n
INNER JOIN batches AS b ON n.run_id = b.run_id
INNER JOIN run_models AS m ON b.run_id = m.run_id AND b.model = m.model
WHERE n.dt = :dt
ORDER BY b.batch_no, b.model
