-- One row per run, of any status, and query: the model it went to, or that it was deferred or rejected. Cost in USD.
-- Rows that broke the contract, or repeated a query, decide nothing and are left out.
CREATE VIEW decisions AS
SELECT a.run_id, a.query_id, a.first_dt, 'assigned' AS decision, a.model, a.batch_no, a.cost_usd, a.mean_quality
FROM assignments AS a
UNION ALL
SELECT d.run_id, d.query_id, d.first_dt, 'deferred', NULL, NULL, 0.0, NULL
FROM deferred_queries AS d
UNION ALL
SELECT j.run_id, j.query_id, j.first_dt, 'rejected', NULL, NULL, 0.0, NULL
FROM rejected_queries AS j
WHERE j.reason IN ('expired', 'no_eligible_model')
