"""What a user reads about runs: tables, the page, and trackers such as W&B."""
