"""The parent: performs the policy's commands and turns what happened into events."""
