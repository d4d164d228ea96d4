-- severity: fail
-- what: in no batch does a model get more queries than it takes, or a batch that is not of the night
SELECT a.batch_no, a.model, count(*) AS assigned, max(m.capacity_per_batch) AS capacity, max(r.batches) AS batches
FROM assignments AS a
INNER JOIN routing_runs AS r ON a.run_id = r.run_id
LEFT JOIN run_models AS m ON a.run_id = m.run_id AND a.model = m.model
WHERE a.run_id = :run_id
GROUP BY a.batch_no, a.model
HAVING
    count(*) > max(CASE WHEN a.batch_no > r.sent_through_batch THEN m.capacity_left_per_batch ELSE m.capacity_per_batch END)
    OR a.batch_no < 1 OR a.batch_no > max(r.batches)
    OR count(m.model) < count(*)
