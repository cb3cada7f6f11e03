"""Customers behind an API that speaks OpenAI's chat format."""
