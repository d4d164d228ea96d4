"""The page that shows a night: a read-only application within Airflow's API server."""
