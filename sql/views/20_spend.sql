-- One row per night, model and team: queries given to it and their predicted cost, USD. Team is '' where no team pays.
CREATE VIEW spend AS
SELECT
    r.dt, r.run_id, t.model, t.team,
    CAST(sum(t.assigned) AS BIGINT) AS queries,
    sum(t.planned_spend_usd) AS planned_spend_usd
FROM routing_runs AS r
INNER JOIN assignment_totals AS t ON r.run_id = t.run_id
WHERE r.status = 'current'
GROUP BY r.dt, r.run_id, t.model, t.team
