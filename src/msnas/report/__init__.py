"""What a user reads: tables and trackers."""
