-- One row per day and self-hosted model: instances to run, and the GPUs they take.
CREATE VIEW fleet AS
SELECT a.for_date, a.allocation_id, i.model, i.instances, i.previous_instances, i.gpu_type, i.gpus, i.capacity_per_batch,
    i.utilisation, a.change
FROM allocations AS a
INNER JOIN instance_allocations AS i ON a.allocation_id = i.allocation_id
WHERE a.superseded_at IS NULL
