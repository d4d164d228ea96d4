-- One row per day with a verdict on a challenger predictor: who reigns, and why.
CREATE VIEW promotions AS
SELECT
    dt, predictor_id, decision, reason, trained_through, champion_id, outcomes,
    champion_quality, challenger_quality, difference_lower, difference_upper,
    mix_distance, exam_unfamiliar_share, calibration_error, quality_shift, quality_shift_model,
    robust_method, robust_level, robust_reason, cost_margin, content_hash
FROM predictor_versions
WHERE superseded_at IS NULL
