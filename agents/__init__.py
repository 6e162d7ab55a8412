"""Training recipes and scripted players: import as `robo_adv.agents`."""

if __name__ == "agents":
    raise ImportError(
        "robo_adv's recipes are imported as `robo_adv.agents`; `import agents` found the source "
        "folder because the current folder is the checkout. Install the project and import "
        "`robo_adv.agents`."
    )
