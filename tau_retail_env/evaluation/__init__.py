"""Judging agents: evaluations, comparisons, reviews, audits, reports."""
