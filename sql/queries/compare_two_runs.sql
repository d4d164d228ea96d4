-- What changed between two runs of a night?
-- Grain: one row per kind of change; cost and quality are sums over its queries.
-- Parameters: run_a, run_b (run_id)
SELECT
    change,
    count(*) AS queries,
    sum(coalesce(cost_b_usd, 0) - coalesce(cost_a_usd, 0)) AS more_cost_usd,
    sum(coalesce(quality_b, 0) - coalesce(quality_a, 0)) AS more_quality
FROM run_changes
WHERE run_a = :run_a AND run_b = :run_b
GROUP BY change
ORDER BY queries DESC, change
