-- One row per planned night: its weekday (1 is Monday), the number of its week (weeks begin on Mondays; consecutive ones differ by 1) and its month. The day number is the Julian one, by integers alone, so that every database agrees.
CREATE VIEW calendar AS
SELECT dt, day_number % 7 + 1 AS weekday, day_number / 7 AS week, month
FROM (
    SELECT
        dt, month,
        (1461 * (y + 4800 + (m - 14) / 12)) / 4
        + (367 * (m - 2 - 12 * ((m - 14) / 12))) / 12
        - (3 * ((y + 4900 + (m - 14) / 12) / 100)) / 4
        + d - 32075 AS day_number
    FROM (
        SELECT
            dt,
            substr(CAST(dt AS TEXT), 1, 7) AS month,
            CAST(substr(CAST(dt AS TEXT), 1, 4) AS INTEGER) AS y,
            CAST(substr(CAST(dt AS TEXT), 6, 2) AS INTEGER) AS m,
            CAST(substr(CAST(dt AS TEXT), 9, 2) AS INTEGER) AS d
        FROM routing_runs
        WHERE status = 'current'
    ) AS parts
) AS numbered
