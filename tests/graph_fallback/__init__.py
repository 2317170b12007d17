"""Tests of the Microsoft Graph door."""
