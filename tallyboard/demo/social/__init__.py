"""A made-up social network; its workspace, with the story, is examples/social."""
