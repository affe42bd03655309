"""The console: web pages that show what is delivered, what fails and why. README.md describes them."""
