-- severity: fail
-- what: the predicted cost of each team's assignments is what the run says, and within the team's budget
SELECT t.team, t.budget_usd, t.planned_spend_usd, coalesce(s.usd, 0) AS spend_usd
FROM run_teams AS t
LEFT JOIN (
    SELECT team, sum(cost_usd) AS usd FROM assignments WHERE run_id = :run_id GROUP BY team
) AS s ON t.team = s.team
WHERE t.run_id = :run_id
    AND (
        coalesce(s.usd, 0) > t.budget_usd * (1 + 1e-9)
        OR abs(coalesce(s.usd, 0) - t.planned_spend_usd) > 1e-6 * (1 + t.planned_spend_usd)
    )
