-- Which nights ran over their budget, and by how much?
-- Grain: one row per settled night that did, the worst first.
-- Parameters: first, last (dates)
SELECT
    dt, budget_usd, planned_spend_usd, projected_spend_usd, projected_spend_usd - budget_usd AS over_usd, spend_ratio,
    overspend_probability
FROM settled
WHERE overspent AND dt BETWEEN :first AND :last
ORDER BY over_usd DESC, dt
