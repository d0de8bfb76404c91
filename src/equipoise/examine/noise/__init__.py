"""Questions about noisy and corrupted inputs."""
