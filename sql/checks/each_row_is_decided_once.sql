-- severity: fail
-- what: every row of the input is in exactly one of assigned, deferred, rejected
SELECT r.backlog_rows + r.carried_rows AS input_rows, a.n AS assigned, d.n AS deferred, j.n AS rejected, b.n AS in_two
FROM routing_runs AS r
CROSS JOIN (SELECT count(*) AS n FROM assignments WHERE run_id = :run_id) AS a
CROSS JOIN (SELECT count(*) AS n FROM deferred_queries WHERE run_id = :run_id) AS d
CROSS JOIN (SELECT count(*) AS n FROM rejected_queries WHERE run_id = :run_id) AS j
CROSS JOIN (
    SELECT count(*) AS n
    FROM assignments AS x
    INNER JOIN deferred_queries AS y ON x.run_id = y.run_id AND x.query_id = y.query_id
    WHERE x.run_id = :run_id
) AS b
WHERE r.run_id = :run_id
    AND (
        r.backlog_rows + r.carried_rows <> a.n + d.n + j.n
        OR r.assigned <> a.n OR r.deferred <> d.n OR r.rejected <> j.n
        OR b.n > 0
        OR r.backlog_rows IS NULL OR r.carried_rows IS NULL
        OR r.assigned IS NULL OR r.deferred IS NULL OR r.rejected IS NULL
    )
