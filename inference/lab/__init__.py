"""The model lab: where the bundled model is trained, quantized and measured. The application never imports it."""
