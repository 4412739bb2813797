"""The model lab trains, quantizes and measures; the application never imports it."""
