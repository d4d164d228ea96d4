-- severity: fail
-- what: the predicted cost of the assignments is what the run says, and within what GPU-hours leave of its budget
SELECT s.usd AS spend_usd, r.planned_spend_usd, r.planning_budget_usd, r.gpu_usd, r.budget_usd
FROM routing_runs AS r
CROSS JOIN (SELECT coalesce(sum(cost_usd), 0) AS usd FROM assignments WHERE run_id = :run_id) AS s
WHERE r.run_id = :run_id
    AND (
        (s.usd > 0 AND s.usd + coalesce(r.gpu_usd, 0) > r.budget_usd * (1 + 1e-9))
        OR r.planning_budget_usd > r.budget_usd
        OR r.planned_spend_usd IS NULL OR r.planning_budget_usd IS NULL
        OR abs(s.usd - r.planned_spend_usd) > 1e-6 * (1 + s.usd)
    )
