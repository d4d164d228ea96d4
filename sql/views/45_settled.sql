-- One row per executed night that was settled, newest settlement: planned and actual spend, predicted and realised quality, and what is late, missing or corrected. The run is the sealed one, else the current.
CREATE VIEW settled AS
SELECT
    n.dt, n.run_id, r.status, n.execution_date, n.settled_through, n.settled_at,
    n.assigned, n.settled, n.late, n.missing, n.by_other, n.corrected, n.rejected_outcomes,
    n.budget_usd, n.planned_spend_usd, n.settled_planned_usd, n.actual_spend_usd, n.projected_spend_usd,
    CASE WHEN n.settled_planned_usd > 0 THEN n.actual_spend_usd / n.settled_planned_usd END AS spend_ratio,
    n.overspent, n.overspend_probability,
    n.predicted_quality, n.realised_quality, n.optimism, n.optimism_stderr, n.calibration_error
FROM night_settlements AS n
INNER JOIN routing_runs AS r ON n.run_id = r.run_id
WHERE n.run_id = (
    SELECT max(o.run_id) FROM night_settlements AS o
    INNER JOIN routing_runs AS q ON o.run_id = q.run_id
    WHERE o.dt = n.dt AND (q.sealed_at IS NOT NULL OR NOT EXISTS (
        SELECT 1 FROM night_settlements AS p INNER JOIN routing_runs AS s ON p.run_id = s.run_id
        WHERE p.dt = n.dt AND s.sealed_at IS NOT NULL
    ))
)
