"""Who answers: the oracle, bad agents, and agents behind an API."""
