"""The subcommands of hepspark, one module each: `run(config)` does the step and returns its JSON summary."""
