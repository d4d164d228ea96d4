-- One row per night and model: queries given to it against what it takes in the night; null where there is no limit.
CREATE VIEW utilisation AS
SELECT
    r.dt, r.run_id, m.model, m.serving, m.instances, m.capacity_per_batch,
    m.capacity_per_batch * r.batches AS capacity,
    m.assigned,
    CASE WHEN m.capacity_per_batch > 0 THEN CAST(m.assigned AS DOUBLE PRECISION) / (m.capacity_per_batch * r.batches) END AS utilisation,
    m.planned_spend_usd
FROM routing_runs AS r
INNER JOIN run_models AS m ON r.run_id = m.run_id
WHERE r.status = 'current'
