-- One row per night and constraint: what one more unit of it would have added, quality units.
CREATE VIEW prices AS
SELECT r.dt, r.run_id, p.constraint_name, p.subject, p.price, p.unit, p.binding, p.words
FROM routing_runs AS r
INNER JOIN shadow_prices AS p ON r.run_id = p.run_id
WHERE r.status = 'current'
