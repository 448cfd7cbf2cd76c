"""What the phone asks of an edge, and how it checks the answers."""
