"""Several stages one after another, each a process of its own: fine-tuning, rejection sampling, reinforcement."""
