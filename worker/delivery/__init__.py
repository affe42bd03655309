"""From events to outcomes: fan-out, claiming, attempts and their settlement."""
