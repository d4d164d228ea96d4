"""Some hundred queries in plain matrices: what such a batch costs is what its NumPy calls cost."""
