-- Which predictor planned each night, and how good was it held out?
-- Grain: one row per planned night.
-- Parameters: first, last (dates)
SELECT n.dt, n.predictor_id, v.trained_through, v.challenger_quality AS held_out_quality, v.robust_method, v.robust_level
FROM nights AS n
LEFT JOIN predictor_versions AS v ON n.predictor_id = v.predictor_id
WHERE n.dt BETWEEN :first AND :last
ORDER BY n.dt
