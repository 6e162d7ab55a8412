"""robo_adv"""
