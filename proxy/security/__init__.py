"""Who may pass: replayed signatures, failed attempts, known addresses, odd paths. Pure state."""
