-- severity: fail
-- what: what was sent before the rest was planned anew is as it was sent
SELECT a.query_id, a.batch_no, a.model, b.batch_no AS sent_in_batch, b.model AS sent_to
FROM routing_runs AS r
INNER JOIN assignments AS a ON r.run_id = a.run_id AND a.batch_no <= r.sent_through_batch
LEFT JOIN assignments AS b ON r.base_run_id = b.run_id AND a.query_id = b.query_id
WHERE r.run_id = :run_id
    AND (b.query_id IS NULL OR a.model <> b.model OR a.batch_no <> b.batch_no)
UNION ALL
SELECT b.query_id, a.batch_no, a.model, b.batch_no AS sent_in_batch, b.model AS sent_to
FROM routing_runs AS r
INNER JOIN assignments AS b ON r.base_run_id = b.run_id AND b.batch_no <= CAST(r.options ->> 'after_batch' AS INTEGER)
LEFT JOIN assignments AS a ON r.run_id = a.run_id AND b.query_id = a.query_id
WHERE r.run_id = :run_id AND r.sent_through_batch IS NOT NULL AND a.query_id IS NULL
