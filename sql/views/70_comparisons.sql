-- One row per night and policy: the same queries, caps and spend, decided another way. Quality per routable query with 95 % intervals; gain is ours less the policy's, gain_pct in percent of the policy's.
CREATE VIEW comparisons AS
SELECT
    r.dt, r.run_id, o.policy, o.fallback, o.served,
    o.expected_quality, o.expected_quality_lower, o.expected_quality_upper, o.planned_spend_usd,
    o.gain, o.gain_lower, o.gain_upper, o.verdict,
    CASE WHEN o.expected_quality > 0 THEN 100.0 * (n.expected_quality / o.expected_quality - 1) END AS gain_pct,
    CASE WHEN n.planned_spend_usd > 0 THEN o.planned_spend_usd / n.planned_spend_usd END AS spend_ratio,
    o.words
FROM routing_runs AS r
INNER JOIN receipts AS o ON r.run_id = o.run_id
INNER JOIN receipts AS n ON r.run_id = n.run_id AND n.policy = 'nightshift'
WHERE r.status = 'current'
