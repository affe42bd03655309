"""Small tools for asyncio: reliable cancellation, and work in steps."""
