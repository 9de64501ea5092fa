"""Where steps run: this process and others."""
