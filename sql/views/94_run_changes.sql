-- One row per ordered pair of runs of a night that came to decisions, and query: what one decided, and the other. Cost in USD.
CREATE VIEW run_changes AS
SELECT
    run_a, run_b, dt, query_id, decision_a, decision_b, model_a, model_b, batch_a, batch_b,
    cost_a_usd, cost_b_usd, quality_a, quality_b,
    CASE
        WHEN decision_a IS NULL THEN 'only_in_b'
        WHEN decision_b IS NULL THEN 'only_in_a'
        WHEN decision_a = 'assigned' AND decision_b = 'assigned' AND model_a = model_b THEN 'same_model'
        WHEN decision_a = 'assigned' AND decision_b = 'assigned' THEN 'other_model'
        WHEN decision_a = decision_b THEN 'still_' || decision_b
        ELSE 'now_' || decision_b
    END AS change
FROM (
    SELECT
        p.run_id AS run_a, q.run_id AS run_b, p.dt, d.query_id,
        max(CASE WHEN d.run_id = p.run_id THEN d.decision END) AS decision_a,
        max(CASE WHEN d.run_id = q.run_id THEN d.decision END) AS decision_b,
        max(CASE WHEN d.run_id = p.run_id THEN d.model END) AS model_a,
        max(CASE WHEN d.run_id = q.run_id THEN d.model END) AS model_b,
        max(CASE WHEN d.run_id = p.run_id THEN d.batch_no END) AS batch_a,
        max(CASE WHEN d.run_id = q.run_id THEN d.batch_no END) AS batch_b,
        max(CASE WHEN d.run_id = p.run_id THEN d.cost_usd END) AS cost_a_usd,
        max(CASE WHEN d.run_id = q.run_id THEN d.cost_usd END) AS cost_b_usd,
        max(CASE WHEN d.run_id = p.run_id THEN d.mean_quality END) AS quality_a,
        max(CASE WHEN d.run_id = q.run_id THEN d.mean_quality END) AS quality_b
    FROM routing_runs AS p
    INNER JOIN routing_runs AS q ON p.dt = q.dt
    INNER JOIN decisions AS d ON d.run_id IN (p.run_id, q.run_id)
    WHERE
        p.status NOT IN ('staged', 'failed')
        AND q.status NOT IN ('staged', 'failed')
        AND p.pruned_at IS NULL
        AND q.pruned_at IS NULL
    GROUP BY p.run_id, q.run_id, p.dt, d.query_id
) AS pairs
