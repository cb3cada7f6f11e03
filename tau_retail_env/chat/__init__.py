"""How it is said: messages, tool-call parsing, prompts, token-exact turns and masks."""
