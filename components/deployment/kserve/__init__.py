"""The target `kserve://<namespace>/<name>`: an InferenceService, changed as a careful operator would change it."""
