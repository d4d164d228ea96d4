-- On which nights was money what was short?
-- Grain: one row per night whose budget bound: what one more USD would have added, quality units.
-- Parameters: first, last (dates)
SELECT p.dt, n.budget_usd, p.price AS quality_per_usd, p.words
FROM prices AS p
INNER JOIN nights AS n ON p.run_id = n.run_id
WHERE p.constraint_name = 'budget' AND p.binding AND p.dt BETWEEN :first AND :last
ORDER BY p.price DESC, p.dt
