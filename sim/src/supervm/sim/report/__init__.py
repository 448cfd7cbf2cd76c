"""What a run has shown: observers, metrics, charts and the page."""
