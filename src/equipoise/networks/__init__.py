"""Network families, pre-processing modules, adoption of foreign networks, layer tables."""
