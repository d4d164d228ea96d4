-- When were instances started and stopped?
-- Grain: one row per day and model whose instances differ from the day before.
-- Parameters: first, last (days served)
SELECT for_date, model, previous_instances, instances, instances - previous_instances AS started, gpu_type, gpus
FROM fleet
WHERE previous_instances IS NOT NULL AND instances <> previous_instances AND for_date BETWEEN :first AND :last
ORDER BY for_date, model
