"""The operator's port: metrics and health. Never imported by the data path."""
