-- One row per night and model: queries given to it against what it takes in the night; null where there is no limit.
CREATE VIEW utilisation AS
SELECT
    dt, run_id, model, serving, instances, capacity_per_batch, capacity, assigned,
    CASE WHEN capacity > 0 THEN CAST(assigned AS DOUBLE PRECISION) / capacity END AS utilisation,
    planned_spend_usd, outcomes_until_eligible
FROM (
    SELECT
        r.dt, r.run_id, m.model, m.serving, m.instances, m.capacity_per_batch,
        CASE
            WHEN r.sent_through_batch IS NULL THEN m.capacity_per_batch * r.batches
            ELSE m.capacity_per_batch * r.sent_through_batch
                + coalesce(m.capacity_left_per_batch, m.capacity_per_batch) * (r.batches - r.sent_through_batch)
        END AS capacity,
        m.assigned, m.planned_spend_usd, m.outcomes_until_eligible
    FROM routing_runs AS r
    INNER JOIN run_models AS m ON r.run_id = m.run_id
    WHERE r.status = 'current'
) AS night
