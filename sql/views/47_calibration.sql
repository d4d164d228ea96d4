-- One row per settled night, model, task family and tenth of predicted quality: how predictions of chosen models came true. * is all models, or all tasks.
CREATE VIEW calibration AS
SELECT s.dt, s.run_id, b.model, b.task, b.bin, b.settled, b.predicted_quality, b.realised_quality
FROM settled AS s
INNER JOIN calibration_bins AS b ON s.run_id = b.run_id
