"""The composition root: the only place that knows all doors, the environment and the processes."""
