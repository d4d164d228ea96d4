-- Which constraint keeps queries waiting?
-- Grain: one row per night and cause.
-- Parameters: first, last (dates)
SELECT d.dt, d.cause, sum(d.queries) AS queries, max(d.most_nights_waited) AS most_nights_waited
FROM deferrals AS d
WHERE d.dt BETWEEN :first AND :last
GROUP BY d.dt, d.cause
ORDER BY d.dt, queries DESC, d.cause
