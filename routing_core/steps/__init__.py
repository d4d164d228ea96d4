"""What happens in a night, one function per task: dates and ids in, ids and counts out.

retrain → allocate → route (open, list, estimate, solve, write, compare, check, publish) → settle; and read.
"""
