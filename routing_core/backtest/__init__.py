"""Backtests: any outcome history replayed night by night, and what joint routing bought at matched spend."""
