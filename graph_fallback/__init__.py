"""The Microsoft Graph door: pulls renames, reconciles, searches. Nothing of it is built yet."""
