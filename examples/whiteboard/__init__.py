"""Drawing together, with everything that is drawn travelling as packed binary."""
