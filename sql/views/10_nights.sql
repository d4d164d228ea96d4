-- One row per planned night: what its current run decided. Money in USD, quality in [0, 1].
CREATE VIEW nights AS
SELECT
    dt, execution_date, run_id, attempt, sealed_at, published_at, degraded,
    predictor_id, allocation_id, batching, batches, robust_method, robust_level, seed,
    backlog_rows, carried_rows, assigned, deferred, rejected,
    budget_usd, planning_budget_usd, planned_spend_usd, cost_margin, gpu_usd,
    CASE WHEN budget_usd > 0 THEN (planned_spend_usd + coalesce(gpu_usd, 0)) / budget_usd END AS budget_share,
    expected_quality, objective, bound, gap, solver_status,
    unfamiliar_share, new_task_share, far_share, conservative
FROM routing_runs
WHERE status = 'current'
