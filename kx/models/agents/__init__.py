"""Models of agents: values of actions, and policies."""
