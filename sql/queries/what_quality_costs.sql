-- What does each model cost for the quality it is expected to give?
-- Grain: one row per model: its queries of the range, cost of a query, mean predicted quality, and USD per quality unit.
-- Parameters: first, last (dates)
SELECT
    a.model,
    count(*) AS queries,
    avg(a.cost_usd) AS usd_per_query,
    avg(a.mean_quality) AS predicted_quality,
    CASE WHEN sum(a.mean_quality) > 0 THEN sum(a.cost_usd) / sum(a.mean_quality) END AS usd_per_quality
FROM nights AS n
INNER JOIN assignments AS a ON n.run_id = a.run_id
WHERE n.dt BETWEEN :first AND :last
GROUP BY a.model
ORDER BY usd_per_quality, a.model
