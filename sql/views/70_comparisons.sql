-- One row per night and policy: the same queries, caps and budget, decided another way. Gain in percent of the other.
CREATE VIEW comparisons AS
SELECT
    r.dt, r.run_id, o.policy, o.fallback, o.served, o.expected_quality, o.planned_spend_usd,
    CASE WHEN o.expected_quality > 0 THEN 100.0 * (n.expected_quality / o.expected_quality - 1) END AS gain_pct,
    o.words
FROM routing_runs AS r
INNER JOIN receipts AS o ON r.run_id = o.run_id
INNER JOIN receipts AS n ON r.run_id = n.run_id AND n.policy = 'nightshift'
WHERE r.status = 'current'
