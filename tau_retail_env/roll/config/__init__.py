"""The ROLL engine's configuration: ROLL's own keys and rules, checked without ROLL, Ray or torch."""
