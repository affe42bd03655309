"""What an HTTP server of ours allows its clients: the API's, and that of a process's metrics.

`hosts` decides about Host, `limits` holds the numbers, `connections` who gives way at the cap, `protocol` enforces
them on aiohttp's connections, and `site` puts them together.
"""
