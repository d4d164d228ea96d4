-- Which decisions would tip first?
-- Grain: one row per assigned query of the night, the smallest regret first: what the runner-up is worse by.
-- Parameters: dt (date), most (rows)
SELECT a.query_id, a.task, a.model, a.runner_up, a.regret, a.mean_quality, a.cost_usd
FROM nights AS n
INNER JOIN assignments AS a ON n.run_id = a.run_id
WHERE n.dt = :dt AND a.regret IS NOT NULL
ORDER BY a.regret, a.query_id
LIMIT :most
