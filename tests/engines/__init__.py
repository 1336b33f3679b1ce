"""Engines, images and a registry for tests: what is real, and how a test looks at it without the code under test."""
