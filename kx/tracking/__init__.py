"""Run folders, training states and tracking stores."""
