"""Environments: import as `robo_adv.envs`."""

if __name__ == "envs":
    raise ImportError(
        "robo_adv's environments are imported as `robo_adv.envs`; `import envs` found the source "
        "folder because the current folder is the checkout. Install the project and import "
        "`robo_adv.envs`."
    )
