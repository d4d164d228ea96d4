-- One row per night, model and task family: predicted quality of what was assigned, and realised once settled. Optimism is predicted less realised, on what was chosen.
CREATE VIEW quality AS
SELECT
    r.dt, r.run_id, t.model, t.task,
    CAST(sum(t.assigned) AS BIGINT) AS assigned,
    sum(t.mean_quality) / sum(t.assigned) AS predicted_quality,
    sum(t.planned_quality) / sum(t.assigned) AS planned_quality,
    max(s.settled) AS settled,
    max(s.realised_quality) AS realised_quality,
    max(s.optimism) AS optimism,
    max(s.optimism_stderr) AS optimism_stderr,
    max(s.calibration_error) AS calibration_error
FROM routing_runs AS r
INNER JOIN assignment_totals AS t ON r.run_id = t.run_id
LEFT JOIN settlements AS s ON t.run_id = s.run_id AND t.model = s.model AND t.task = s.task
WHERE r.status = 'current'
GROUP BY r.dt, r.run_id, t.model, t.task
