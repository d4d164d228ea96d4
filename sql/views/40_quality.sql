-- One row per night, model and task family: predicted quality of what was assigned, and realised once settled. Optimism is predicted less realised, on what was chosen.
CREATE VIEW quality AS
SELECT
    r.dt, r.run_id, a.model, a.task,
    count(*) AS assigned,
    avg(a.mean_quality) AS predicted_quality,
    avg(a.planned_quality) AS planned_quality,
    max(s.settled) AS settled,
    max(s.realised_quality) AS realised_quality,
    max(s.optimism) AS optimism,
    max(s.optimism_stderr) AS optimism_stderr,
    max(s.calibration_error) AS calibration_error
FROM routing_runs AS r
INNER JOIN assignments AS a ON r.run_id = a.run_id
LEFT JOIN settlements AS s ON a.run_id = s.run_id AND a.model = s.model AND a.task = s.task
WHERE r.status = 'current'
GROUP BY r.dt, r.run_id, a.model, a.task
