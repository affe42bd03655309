"""HTTP servers with limits on their clients: that of the API, and that of a process's metrics.

`hosts` checks the Host field, `limits` has the numbers, and `callers` maps addresses to networks. `connections` decides
which connection closes at the cap, `protocol` enforces the limits on aiohttp's connections, and `site` puts everything
together.
"""
