-- Where were answers worse than predicted, by more than chance?
-- Grain: one row per night, model and task family whose optimism is above two standard errors, the worst first.
-- Parameters: first, last (dates), least (settled queries below which a row says too little)
SELECT dt, run_id, model, task, settled, predicted_quality, realised_quality, optimism, optimism_stderr
FROM settlements
WHERE
    dt BETWEEN :first AND :last
    AND model <> '*' AND task <> '*'
    AND settled >= :least
    AND optimism > 2 * optimism_stderr
ORDER BY optimism DESC, dt, model, task
