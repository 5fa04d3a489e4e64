"""Results for people: tables on the terminal, plots as SVG."""
