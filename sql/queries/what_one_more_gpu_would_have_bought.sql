-- What would one more instance, or one more GPU, of each model have added to the night?
-- Grain: one row per self-hosted model that served the night: quality units, by the night's prices. Prices hold for a small
-- change; `routing what-if` plans the night again and is exact.
-- Parameters: dt (date)
SELECT
    u.model, u.instances, u.utilisation, p.price AS quality_per_query,
    p.price * u.capacity / u.instances AS quality_per_instance,
    p.price * u.capacity / i.gpus AS quality_per_gpu
FROM utilisation AS u
INNER JOIN prices AS p ON u.run_id = p.run_id AND u.model = p.subject AND p.constraint_name = 'capacity'
INNER JOIN nights AS n ON u.run_id = n.run_id
LEFT JOIN instance_allocations AS i ON n.allocation_id = i.allocation_id AND u.model = i.model AND i.gpus > 0
WHERE u.dt = :dt AND u.instances > 0
ORDER BY quality_per_instance DESC, u.model
