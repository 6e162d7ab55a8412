"""Threats say what may be touched and how far; attacks propose what to do within them.

Everything that can make a controller fail sits at a port of the closed loop: observation, action,
force, level or opponent. A `Threat` owns the budget and clips whatever an attack proposes (no attack
grades its own homework). An attack is one file in `robo_adv/threats/attacks/`.
"""
