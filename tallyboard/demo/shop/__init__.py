"""A made-up shop for outdoor gear; its workspace, with the story, is examples/shop."""
