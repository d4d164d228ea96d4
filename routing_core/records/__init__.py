"""The nouns: frozen dataclasses with shapes and units, knowing nothing of files or databases."""
