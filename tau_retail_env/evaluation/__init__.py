"""Judging: how often a perfect agent fails because of its customer."""
