-- What became of one query, in every run that saw it?
-- Grain: one row per run of any status that decided the query.
-- Parameters: query_id (text)
SELECT r.dt, d.run_id, r.status, d.decision, d.model, d.batch_no, d.cost_usd, d.mean_quality
FROM decisions AS d
INNER JOIN routing_runs AS r ON d.run_id = r.run_id
WHERE d.query_id = :query_id
ORDER BY r.dt, d.run_id
