-- Who was left to the next night, and why?
-- Grain: one row per deferred query of the night, the longest waiting first.
-- Parameters: dt (date)
SELECT d.query_id, d.team, d.task, d.cause, d.nights_waited, d.deadline, d.best_model, d.penalty
FROM nights AS n
INNER JOIN deferred_queries AS d ON n.run_id = d.run_id
WHERE n.dt = :dt
ORDER BY d.nights_waited DESC, d.penalty DESC, d.query_id
