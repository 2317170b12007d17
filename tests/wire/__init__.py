"""What other programs sent: recorded exchanges and the replayer that runs them."""
