-- What does each team spend in each week?
-- Grain: one row per week and team; team is '' where no team pays, week_from is the week's first planned night.
-- Parameters: first, last (dates)
SELECT
    min(c.dt) AS week_from, s.team,
    count(DISTINCT s.dt) AS nights,
    sum(s.queries) AS queries,
    sum(s.planned_spend_usd) AS planned_spend_usd
FROM spend AS s
INNER JOIN calendar AS c ON s.dt = c.dt
WHERE s.dt BETWEEN :first AND :last
GROUP BY c.week, s.team
ORDER BY c.week, s.team
