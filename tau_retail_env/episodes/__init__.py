"""Playing: the record of an episode, and the players that make such records; torch is imported only to sample."""
