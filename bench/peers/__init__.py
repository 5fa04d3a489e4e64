"""Small servers around what a user would pick instead of FinStream, and the work they do to each tick."""
