"""Where data comes from when you have none: a synthetic workload, or a public one."""
