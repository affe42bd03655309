"""Small tools for asyncio: end tasks for certain, and work in steps."""
