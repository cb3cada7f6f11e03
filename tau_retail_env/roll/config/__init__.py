"""What the ROLL engine is told: ROLL's own keys and rules, checked without ROLL, Ray or torch."""
