"""The words that every layer shares. Imports nothing else of the project."""
