"""Coffer for asyncio."""
