"""The Integrations API: the specification's resources, events over HTTP, and the history of each event.

    routes            every operation: method, path, roles, body, answers; the router and /openapi.json are made of it
    operations        the types that describe an operation
    request_context   one request: its caller, body and page
    handlers          one module for each resource
    services          what the handlers call: access, event intake, health
    schemas           documents that the API takes and returns, beside the specification's resources
    api_errors        every answer that stands in place of a resource
    application       the aiohttp application
    server            the process

A handler returns a Reply or raises an ApiError.
"""
