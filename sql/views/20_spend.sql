-- One row per night, model and team: queries given to it and their predicted cost, USD. Team is '' where no team pays.
CREATE VIEW spend AS
SELECT
    r.dt, r.run_id, a.model, coalesce(a.team, '') AS team,
    count(*) AS queries,
    sum(a.cost_usd) AS planned_spend_usd
FROM routing_runs AS r
INNER JOIN assignments AS a ON r.run_id = a.run_id
WHERE r.status = 'current'
GROUP BY r.dt, r.run_id, a.model, coalesce(a.team, '')
