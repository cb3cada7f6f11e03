"""The report: episodes and figures of runs as one HTML page, written whole or served while they grow."""
