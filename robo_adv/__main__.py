"""`python -m robo_adv` is `robo-adv`."""

from robo_adv.cli.main import main

main()
