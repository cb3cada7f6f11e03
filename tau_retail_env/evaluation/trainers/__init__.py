"""What other trainers read: tasks for verl, slime and TRL, conversations for TRL and LLaMA-Factory."""
