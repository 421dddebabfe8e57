"""The flow from a study file to an exported model, and the doors over it."""
