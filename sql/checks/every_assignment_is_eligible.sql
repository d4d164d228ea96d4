-- severity: fail
-- what: every query goes to one of its eligible models
SELECT a.query_id, a.model, a.candidates
FROM assignments AS a
INNER JOIN run_models AS m ON a.run_id = m.run_id AND a.model = m.model
WHERE a.run_id = :run_id
    AND a.candidates IS NOT NULL
    AND (a.candidates >> m.position) % 2 = 0
