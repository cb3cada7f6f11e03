"""How sure: intervals, pass^k, and paired comparison."""
