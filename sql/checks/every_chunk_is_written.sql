-- severity: fail
-- what: every chunk has committed its rows, and as many as it says
SELECT c.chunk, c.rows, coalesce(w.n, 0) AS rows_there
FROM run_chunks AS c
LEFT JOIN (
    SELECT chunk, sum(n) AS n
    FROM (
        SELECT chunk, count(*) AS n FROM assignments WHERE run_id = :run_id GROUP BY chunk
        UNION ALL
        SELECT chunk, count(*) AS n FROM deferred_queries WHERE run_id = :run_id GROUP BY chunk
        UNION ALL
        SELECT chunk, count(*) AS n FROM rejected_queries WHERE run_id = :run_id GROUP BY chunk
    ) AS parts
    GROUP BY chunk
) AS w ON c.chunk = w.chunk
WHERE c.run_id = :run_id AND (c.written_at IS NULL OR c.rows <> coalesce(w.n, 0))
