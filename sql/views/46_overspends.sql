-- One row per accepted probability of overspending: how often the settled nights planned with it ran over their budget.
CREATE VIEW overspends AS
SELECT
    overspend_probability AS accepted,
    count(*) AS nights,
    sum(CASE WHEN overspent THEN 1 ELSE 0 END) AS overspent,
    avg(CASE WHEN overspent THEN 1.0 ELSE 0.0 END) AS frequency,
    avg(spend_ratio) AS mean_spend_ratio
FROM settled
WHERE overspent IS NOT NULL
GROUP BY overspend_probability
