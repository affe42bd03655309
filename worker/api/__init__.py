"""The Integrations API: the specification's resources, the events' way in over HTTP, and what became of each.

    operations    what there is: method, path, who may, what goes in and comes out; the router and /openapi.json read it
    calls         one request on its way: who called, what was sent, where a page begins
    access        bearer tokens, and the limit of attempts with bad ones
    errors        everything that can be answered in place of a resource
    integrations, logs, jobs, events, trials, oauth, health, docs      the handlers
    application   an aiohttp application of it all;  server  the process

A handler answers a Reply, or raises an ApiError.
"""
