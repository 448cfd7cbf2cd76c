"""What an edge believes of the chain, and the changes of validators that it follows."""
