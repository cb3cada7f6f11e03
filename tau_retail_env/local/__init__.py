"""The local engine: supervised fine-tuning and GRPO with KL to the reference, on TRL."""
