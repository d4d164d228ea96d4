-- What was budgeted, planned and in the end spent, night by night?
-- Grain: one row per planned night; actual and projected spend are null until it is settled.
-- Parameters: first, last (dates)
SELECT
    n.dt, n.budget_usd, n.planned_spend_usd, n.budget_share, s.actual_spend_usd, s.projected_spend_usd, s.overspent
FROM nights AS n
LEFT JOIN settled AS s ON n.dt = s.dt
WHERE n.dt BETWEEN :first AND :last
ORDER BY n.dt
