-- How good are the forecasts of the mix?
-- Grain: one row per task family (* is the whole day): days scored, weighted absolute percentage error, and the share of days
-- within the 80 % interval.
-- Parameters: first, last (dates forecast)
SELECT
    task,
    count(*) AS days,
    CASE WHEN sum(actual) > 0 THEN sum(error) / sum(actual) END AS wape,
    avg(CAST(within_interval AS DOUBLE PRECISION)) AS within_interval
FROM forecast_errors
WHERE actual IS NOT NULL AND for_date BETWEEN :first AND :last
GROUP BY task
ORDER BY task
