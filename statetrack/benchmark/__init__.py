"""Checks and timings of scans: `statetrack doctor` and `statetrack bench scans`.

Needs torch alone; pandas, seaborn and matplotlib only where the figure is drawn.
"""
