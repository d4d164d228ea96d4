-- One row per planned night and team with a budget of its own; team * is the whole night. Money in USD.
-- settled is what is known to be spent, outstanding the planned cost of what is not settled yet, at_risk by how much that
-- may run over: by the night's margin before any outcome, as the settled did after. committed is the three together, and
-- left what the month's budget is above the committed of its nights so far. Of a team, outcomes count as for its night.
CREATE VIEW budget_ledger AS
SELECT
    month, dt, execution_date, run_id, team, budget_usd, planned_usd, settled_usd, outstanding_usd, at_risk_usd,
    settled_usd + outstanding_usd + at_risk_usd AS committed_usd,
    month_budget_usd,
    month_budget_usd - sum(settled_usd + outstanding_usd + at_risk_usd)
        OVER (PARTITION BY month, team ORDER BY execution_date) AS month_left_usd
FROM (
    SELECT
        p.month, p.dt, p.execution_date, p.run_id, p.team, p.budget_usd, p.planned_usd, p.month_budget_usd,
        p.planned_usd * p.settled_share * p.spend_ratio AS settled_usd,
        p.planned_usd * (1 - p.settled_share) AS outstanding_usd,
        CASE
            WHEN p.settled_share = 0 THEN p.planned_usd * (p.cost_margin - 1)
            WHEN p.spend_ratio > 1 THEN p.planned_usd * (1 - p.settled_share) * (p.spend_ratio - 1)
            ELSE 0.0
        END AS at_risk_usd
    FROM (
        SELECT
            substr(CAST(r.execution_date AS VARCHAR(10)), 1, 7) AS month,
            r.dt, r.execution_date, r.run_id, t.team, t.budget_usd, t.planned_usd, t.month_budget_usd,
            coalesce(t.cost_margin, 1.0) AS cost_margin,
            CASE WHEN s.planned_spend_usd > 0 THEN s.settled_planned_usd / s.planned_spend_usd ELSE 0.0 END AS settled_share,
            CASE WHEN s.settled_planned_usd > 0 THEN s.actual_spend_usd / s.settled_planned_usd ELSE 1.0 END AS spend_ratio
        FROM routing_runs AS r
        INNER JOIN (
            SELECT run_id, '*' AS team, budget_usd, coalesce(planned_spend_usd, 0.0) AS planned_usd, month_budget_usd, cost_margin
            FROM routing_runs
            UNION ALL
            SELECT run_id, team, budget_usd, planned_spend_usd, month_budget_usd, cost_margin
            FROM run_teams
        ) AS t ON r.run_id = t.run_id
        LEFT JOIN night_settlements AS s ON r.run_id = s.run_id
        WHERE r.status = 'current'
    ) AS p
) AS night
