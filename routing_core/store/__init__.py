"""Where data is kept: Parquet partitions, the catalog, the results database and predictors."""
