-- Which nights went on without something, or were planned more than once?
-- Grain: one row per night for which either holds; runs counts every attempt, shadows and failures included.
-- Parameters: first, last (dates)
SELECT n.dt, n.run_id, n.degraded, count(*) AS runs, sum(CASE WHEN r.status = 'failed' THEN 1 ELSE 0 END) AS failed
FROM nights AS n
INNER JOIN routing_runs AS r ON n.dt = r.dt
WHERE n.dt BETWEEN :first AND :last
GROUP BY n.dt, n.run_id, n.degraded
HAVING n.degraded <> '' OR count(*) > 1
ORDER BY n.dt
