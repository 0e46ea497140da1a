"""Tasks of agents: what is learned by acting in an environment."""
