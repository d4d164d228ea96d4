-- Does joint routing beat the alternatives, at the same spend and caps?
-- Grain: one row per policy it is compared with: nights won, undecided and lost, and the mean gain per routable query.
-- Parameters: first, last (dates)
SELECT
    policy,
    count(*) AS nights,
    sum(CASE WHEN verdict = 'gain' THEN 1 ELSE 0 END) AS gained,
    sum(CASE WHEN verdict = 'no gain' THEN 1 ELSE 0 END) AS undecided,
    sum(CASE WHEN verdict = 'loss' THEN 1 ELSE 0 END) AS lost,
    avg(gain) AS mean_gain
FROM comparisons
WHERE policy <> 'nightshift' AND gain IS NOT NULL AND dt BETWEEN :first AND :last
GROUP BY policy
ORDER BY policy
