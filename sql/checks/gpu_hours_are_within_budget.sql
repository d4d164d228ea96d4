-- severity: warn
-- what: the GPU-hours of the night's instances leave something of its budget
SELECT gpu_usd, budget_usd
FROM routing_runs
WHERE run_id = :run_id AND gpu_usd > budget_usd
