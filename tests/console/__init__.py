"""The console under test: a served console, a played day, and a browser that watches what pages do."""
