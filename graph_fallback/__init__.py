"""The Microsoft Graph door: pulls what has changed, reconciles, searches, asks for consent. Start at `pull.py`."""
