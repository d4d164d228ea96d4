-- Which models run full?
-- Grain: one row per model with a limit: nights it served, nights at or above the share, and its mean use.
-- Parameters: first, last (dates), share (of the capacity, in [0, 1])
SELECT
    model,
    count(*) AS nights,
    sum(CASE WHEN utilisation >= :share THEN 1 ELSE 0 END) AS full_nights,
    avg(utilisation) AS mean_utilisation
FROM utilisation
WHERE capacity > 0 AND dt BETWEEN :first AND :last
GROUP BY model
ORDER BY full_nights DESC, model
