"""What every image needs and nothing heavy: errors, storage, manifests, reports. Standard library only, plus Jinja2."""
