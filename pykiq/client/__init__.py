"""Handing work over: a pure builder of payloads, a sync and an asyncio client."""
