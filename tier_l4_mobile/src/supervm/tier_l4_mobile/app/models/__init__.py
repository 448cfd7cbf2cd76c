"""What the screens show, without any screen: each model takes the node's answers and gives plain values and texts."""
