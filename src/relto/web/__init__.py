"""Pages for a browser: values in, HTML out; the routes that fill them are in ``relto.api.pages``."""
