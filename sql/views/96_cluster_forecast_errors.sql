-- One row per forecast day and cluster of prompts: what was expected and what came, by a sample of the prompts.
CREATE VIEW cluster_forecast_errors AS
SELECT
    f.for_date, f.cluster, f.about, f.method, f.expected, f.lower, f.upper, f.actual,
    CASE WHEN f.actual IS NOT NULL THEN abs(f.actual - f.expected) END AS error,
    CASE WHEN f.actual BETWEEN f.lower AND f.upper THEN 1 WHEN f.actual IS NOT NULL THEN 0 END AS within_interval
FROM cluster_forecasts AS f
INNER JOIN allocations AS a ON f.forecast_id = a.forecast_id
WHERE a.superseded_at IS NULL
