"""One file per attack; each registers itself in `robo_adv.threats.attack.ATTACKS`."""
